"""Each event starts each trigger that it fits once, and no chain of triggers is endless."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connections

from apps.context.services import spaces, writing
from apps.orchestration import selectors
from apps.orchestration.services import reacting, triggers
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.serving import RunFilter
from apps.orchestration.types.triggers import (
    EventSettings,
    FiringOutcome,
    FiringView,
    TriggerEvent,
    TriggerKind,
    TriggerView,
)
from octavo.kernel import events
from octavo.kernel.errors import InvalidInput, NotFound
from tests import runs
from tests.runs import Bench

EVENT = TriggerKind.EVENT
_DEPTHS = "SELECT chain_depth FROM run ORDER BY id"


def _on_run(bench: Bench, target: str, **match: Any) -> TriggerView:
    found = EventSettings(on=TriggerEvent.RUN_FINISHED, **match)
    return reacting.create_event_trigger(scope=bench.scope, agent=target, settings=found)


def _on_entry(bench: Bench, target: str, **match: Any) -> TriggerView:
    found = EventSettings(on=TriggerEvent.ENTRY_WRITTEN, space="inbox", **match)
    return reacting.create_event_trigger(scope=bench.scope, agent=target, settings=found)


def _firings(bench: Bench, trigger: TriggerView) -> list[FiringView]:
    return selectors.list_firings(scope=bench.scope, kind=EVENT, trigger_id=trigger.id)


def _outcomes(bench: Bench, trigger: TriggerView) -> list[FiringOutcome]:
    return [firing.outcome for firing in reversed(_firings(bench, trigger))]


def _write(bench: Bench, key: str, **fields: Any) -> None:
    """Nothing to embed, so that no embedding model is needed."""
    values = {"content": "", "why": "it came", **fields}
    writing.write_entry(scope=bench.scope, space="inbox", key=key, **values)


def _advance_all(bench: Bench) -> None:
    for (run_id,) in bench.rows("SELECT id FROM run WHERE status = 'ready'"):
        runs.advance(bench.scope, run_id)


def test_an_entry_that_fits_starts_a_run_with_it(bench: Bench) -> None:
    runs.save(bench.scope)
    spaces.create_space(scope=bench.scope, name="inbox")
    _write(bench, "mail/0")  # before there is a trigger
    trigger = _on_entry(bench, "worker-bee", key="mail/*")
    for key, trust in (("mail/1", "trusted"), ("other", "trusted"), ("mail/2", "untrusted")):
        _write(bench, key, trust=trust)
    writing.delete_entry(scope=bench.scope, space="inbox", key="mail/1", why="over")

    def react(_: int) -> int:
        try:
            return reacting.react()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(react, range(3))) == 4
    assert reacting.react() == 0
    started = selectors.list_runs(
        scope=bench.scope, wanted=RunFilter(triggered_by=trigger.public_id)
    )
    by_key = {run.input["key"]: run for run in started}
    assert len(started) == 2
    assert {run.input["event"] for run in started} == {"entry_written"}
    tainted = {
        key: runs.events(bench.scope, run.id)[0].data.get("tainted") for key, run in by_key.items()
    }
    assert tainted == {"mail/1": None, "mail/2": True}


def test_a_finished_run_that_fits_starts_one_run(bench: Bench) -> None:
    runs.save(bench.scope)
    runs.save(bench.scope, "triage")
    failures = _on_run(bench, "triage", agent="worker-bee", statuses=(RunStatus.CANCELLED,))
    successes = _on_run(bench, "triage", agent="worker-bee", statuses=(RunStatus.SUCCEEDED,))
    paused = _on_run(bench, "triage")
    triggers.pause_trigger(scope=bench.scope, kind=EVENT, trigger_id=paused.id)
    done = runs.start(bench.scope, answer="done")
    runs.advance(bench.scope, done.id)
    assert reacting.react() == 1
    assert _outcomes(bench, failures) == _outcomes(bench, paused) == []
    (firing,) = _firings(bench, successes)
    assert firing.run_id is not None
    told = selectors.get_run(scope=bench.scope, run_id=firing.run_id).input
    assert (told["status"], told["agent"], told["output"]["text"].strip()) == (
        "succeeded",
        "worker-bee",
        "done",
    )
    assert bench.rows("SELECT count(*) FROM kept_event") == [(0,)]


def test_without_a_trigger_no_end_is_kept(bench: Bench) -> None:
    runs.save(bench.scope)
    runs.advance(bench.scope, runs.start(bench.scope, answer="done").id)
    assert bench.rows("SELECT count(*) FROM kept_event") == [(0,)]


def test_a_worker_that_dies_between_loses_no_event_and_repeats_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.orchestration import triggering

    runs.save(bench.scope)
    runs.save(bench.scope, "triage")
    trigger = _on_run(bench, "triage", agent="worker-bee")
    runs.advance(bench.scope, runs.start(bench.scope, answer="done").id)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(triggering, "note", die)
        with pytest.raises(KeyboardInterrupt):
            reacting.react()
    assert bench.rows("SELECT count(*) FROM run") == [(1,)]
    assert (reacting.react(), reacting.react()) == (1, 0)
    assert _outcomes(bench, trigger) == [FiringOutcome.STARTED]


def test_a_trigger_does_not_start_itself(bench: Bench) -> None:
    runs.save(bench.scope)
    trigger = _on_run(bench, "worker-bee")
    runs.advance(bench.scope, runs.start(bench.scope, answer="done").id)
    for _ in range(2):
        reacting.react()
        _advance_all(bench)
    assert _outcomes(bench, trigger) == [FiringOutcome.STARTED, FiringOutcome.SKIPPED]
    assert "itself" in _firings(bench, trigger)[0].reason


def test_triggers_that_start_each_other_come_to_an_end(bench: Bench) -> None:
    for name in ("ping", "pong"):
        runs.save(bench.scope, name)
    there = _on_run(bench, "pong", agent="ping")
    back = _on_run(bench, "ping", agent="pong")
    runs.advance(bench.scope, runs.start(bench.scope, "ping", answer="done").id)
    while reacting.react():
        _advance_all(bench)
    depths = [depth for (depth,) in bench.rows(_DEPTHS)]
    assert depths == list(range(reacting.LONGEST_CHAIN + 1))
    last = _firings(bench, there)[0]
    assert last.outcome is FiringOutcome.REFUSED
    assert "each other" in last.reason
    assert set(_outcomes(bench, back)) == {FiringOutcome.STARTED}


def test_a_child_s_entry_counts_in_its_root_s_chain(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, answer="done")
    bench.rows(
        "UPDATE run SET chain_depth = 3, triggered_by = 'trg_x' WHERE id = %s RETURNING id", run.id
    )
    child = UUID(int=7)
    bench.rows(
        "INSERT INTO run (id, organisation_id, team_id, project_id, agent_id, agent_name, strategy,"
        " root_id, parent_id, status, input, started_by, starter_id, metadata) SELECT %s, "
        "organisation_id, team_id, project_id, agent_id, agent_name, strategy, root_id, id, 'done',"
        " input, started_by, starter_id, metadata FROM run RETURNING id",
        child,
    )
    assert reacting._chain_of(child) == reacting._Chain(depth=4, trigger="trg_x")


def test_a_storm_is_cut_off_and_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "TRIGGER_RUNS_PER_MINUTE", 2)
    runs.save(bench.scope)
    spaces.create_space(scope=bench.scope, name="inbox")
    trigger = _on_entry(bench, "worker-bee")
    for number in range(3):
        _write(bench, f"mail/{number}")
    assert reacting.react() == 3
    assert _outcomes(bench, trigger) == [FiringOutcome.STARTED] * 2 + [FiringOutcome.REFUSED]


def test_what_the_owner_may_no_longer_see_fails_and_says_so(bench: Bench) -> None:
    runs.save(bench.scope)
    spaces.create_space(scope=bench.scope, name="inbox")
    trigger = _on_entry(bench, "worker-bee")
    _write(bench, "mail/1")
    bench.rows(
        "UPDATE run_trigger SET owner_kind = 'user', owner_id = gen_random_uuid(), owner_name = "
        "'gone@example.test' RETURNING id"
    )
    assert reacting.react() == 1
    (firing,) = _firings(bench, trigger)
    assert firing.outcome is FiringOutcome.FAILED
    assert "inbox" in firing.reason


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"on": TriggerEvent.ENTRY_WRITTEN}, "/match/space"),
    ({"on": TriggerEvent.ENTRY_WRITTEN, "space": "inbox", "agent": "x"}, "/match"),
    ({"on": TriggerEvent.ENTRY_WRITTEN, "space": "inbox", "key": ""}, "/match/key"),
    ({"on": TriggerEvent.RUN_FINISHED, "space": "inbox"}, "/match"),
    ({"on": TriggerEvent.RUN_FINISHED, "statuses": (RunStatus.RUNNING,)}, "/match/statuses"),
]


def test_what_fits_no_event_is_refused_by_name(bench: Bench) -> None:
    runs.save(bench.scope)
    for match, path in WRONG:
        with pytest.raises(InvalidInput) as refused:
            reacting.create_event_trigger(
                scope=bench.scope, agent="worker-bee", settings=EventSettings(**match)
            )
        assert refused.value.errors[0]["path"] == path


def test_a_space_and_an_agent_must_be_there(bench: Bench) -> None:
    runs.save(bench.scope)
    with pytest.raises(NotFound):
        _on_entry(bench, "worker-bee")
    with pytest.raises(NotFound):
        _on_run(bench, "worker-bee", agent="nobody")
    assert events.take(["context.entry_written"]) is None
