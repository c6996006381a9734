"""Triggers are made, seen, tried, held and deleted on their pages."""

from typing import Any

from django.test import Client

from apps.context.services import spaces
from apps.orchestration import selectors
from apps.orchestration.types.triggers import TriggerKind
from octavo.kernel import ids
from tests import runs
from tests.runs import Bench

SCHEDULE = {"target": "agent:worker-bee", "input": "Report.", "cron": "0 9 * * *", "name": "daily"}


def test_each_kind_is_made_and_seen_on_its_page(bench: Bench, admin: Client) -> None:
    runs.save(bench.scope)
    spaces.create_space(scope=bench.scope, name="inbox")
    wrong = admin.post("/triggers/new/schedule", {**SCHEDULE, "cron": "at nine"})
    assert wrong.status_code == 422
    assert "use five fields" in wrong.content.decode()
    assert admin.post("/triggers/new/odd", {}).status_code == 404
    place = admin.post("/triggers/new/schedule", SCHEDULE)["Location"]
    hook = admin.post("/triggers/new/hook", {"target": "agent:worker-bee"}).content.decode()
    assert "/api/v1/hooks/whk_" in hook
    assert "whsec_" in hook
    entry = {"target": "agent:worker-bee", "on": "entry_written", "space": "inbox", "key": "mail/*"}
    assert admin.post("/triggers/new/event", entry).status_code == 302
    ended = {"target": "agent:worker-bee", "on": "run_finished", "statuses": ["failed"]}
    assert admin.post("/triggers/new/event", ended).status_code == 302

    page = admin.get("/triggers").content.decode()
    for text in ("daily", "0 9 * * * UTC", "inbox/mail/*", "any run, failed", "never"):
        assert text in page, text
    assert "whk_" not in page
    _try_and_hold(bench, admin, place)


def _try_and_hold(bench: Bench, admin: Client, place: str) -> None:
    for verb in ("run", "pause"):
        assert admin.post(f"{place}/act", {"act": verb})["Location"] == place
    page = admin.get(place).content.decode()
    for text in ("Started", "Paused", "not while it is paused", "Report."):
        assert text in page, text
    (run,) = selectors.list_runs(scope=bench.scope)
    assert 'href="/triggers/sch_' in admin.get(f"/runs/{_public(run)}").content.decode()
    assert _public(run) in admin.get(f"/runs?trigger={run.triggered_by}").content.decode()
    assert admin.post(f"{place}/act", {"act": "delete"})["Location"] == "/triggers"
    assert admin.get(place).status_code == 404
    assert selectors.list_triggers(scope=bench.scope, kind=TriggerKind.SCHEDULE) == []


def _public(run: Any) -> str:
    return ids.encode(ids.Kind.RUN, run.id)
