"""Pages show how the queue stands, why a run stands still, and act on all runs of a filter."""

import re

from django.test import Client

from apps.orchestration import selectors
from apps.orchestration.services import bulk, control, limiting, starting, upkeep
from apps.orchestration.types.serving import LimitKind
from octavo.kernel import clock, ids
from tests import runs
from tests.runs import Bench


def test_the_queue_page_shows_states_workers_limits_and_duties(bench: Bench, admin: Client) -> None:
    runs.save(bench.scope)
    starting.start_run(scope=bench.scope, agent="worker-bee", input="{}")
    assert "No worker takes runs." in admin.get("/queue").content.decode()
    upkeep.show_worker(duties={"timers": clock.now().isoformat()})
    limiting.set_limit(scope=bench.scope, kind=LimitKind.AGENT, target="worker-bee", most=3)
    page = admin.get("/queue").content.decode()
    assert "No worker takes runs." not in page
    for shown in ("Alive", "Agent worker-bee", "Timers", 'href="/runs?status=queued"'):
        assert shown in page


def test_limits_are_set_and_removed_on_the_queue_page(bench: Bench, admin: Client) -> None:
    runs.save(bench.scope)
    assert 'value="agent:worker-bee"' in admin.get("/queue").content.decode()
    wrong = admin.post("/queue/limits", {"on": "agent:worker-bee", "most": "few"})
    assert (wrong.status_code, "use 1 to 100000" in wrong.content.decode()) == (422, True)
    assert admin.post("/queue/limits", {"on": "agent:worker-bee", "most": "3"}).status_code == 302
    assert admin.post("/queue/limits", {"on": "project:", "most": "9"}).status_code == 302
    found = {(one.kind, one.target): one.most for one in selectors.list_limits(scope=bench.scope)}
    assert found == {(LimitKind.AGENT, "worker-bee"): 3, (LimitKind.PROJECT, ""): 9}
    assert "Remove the limit of agent worker-bee?" in admin.get("/queue").content.decode()
    assert admin.post("/queue/limits/remove", {"on": "agent:worker-bee"}).status_code == 302
    (left,) = selectors.list_limits(scope=bench.scope)
    assert left.kind is LimitKind.PROJECT


def test_runs_are_found_by_their_workflow(bench: Bench, admin: Client) -> None:
    from apps.orchestration.services import workflow_runs, workflows

    source = {"nodes": [{"id": "nap", "kind": "wait", "seconds": 1}]}
    workflows.save_workflow(scope=bench.scope, name="naps", source=source, create=True)
    workflow_runs.start_workflow(scope=bench.scope, workflow="naps", input="a short one")
    runs.save(bench.scope)
    starting.start_run(scope=bench.scope, agent="worker-bee", input="something else")
    page = admin.get("/runs?workflow=naps").content.decode()
    assert "<option selected>naps</option>" in page
    assert "a short one" in page
    assert "something else" not in page


def test_runs_of_a_filter_are_cancelled_after_the_count_is_confirmed(
    bench: Bench, admin: Client
) -> None:
    runs.save(bench.scope)
    tagged = starting.start_run(scope=bench.scope, agent="worker-bee", input="{}", tags=["old"])
    listed = admin.get("/runs?tag=old").content.decode()
    assert '/runs/bulk?action=cancel&amp;tag=old"' in listed
    asked = admin.get("/runs/bulk?action=cancel&tag=old").content.decode()
    assert "Cancel 1 run" in asked
    form = {"action": "cancel", "tag": "old", "expected": "0"}
    moved = admin.post("/runs/bulk", form)
    assert (moved.status_code, "By now 1 fit, not 0" in moved.content.decode()) == (409, True)
    begun = admin.post("/runs/bulk", {**form, "expected": "1"})
    job = re.fullmatch(r"/runs/bulk/(job_\w+)", begun.headers["Location"])
    assert job is not None
    assert "0 of 1 runs" in admin.get(begun.headers["Location"]).content.decode()
    bulk.run_batch(job_id=str(ids.decode(ids.Kind.JOB, job[1])))
    part = admin.get(begun.headers["Location"], headers={"HX-Request": "true"}).content.decode()
    assert "1 of 1 runs" in part
    assert "<html" not in part
    assert admin.get("/runs/bulk?action=explode").status_code == 404
    assert selectors.get_run(scope=bench.scope, run_id=tagged.id).status.value == "queued"


def test_a_run_s_page_says_why_it_stands_still_and_starts_it_again(
    bench: Bench, admin: Client
) -> None:
    runs.save(bench.scope)
    run = starting.start_run(scope=bench.scope, agent="worker-bee", input="{}", tags=["old"])
    address = f"/runs/{ids.encode(ids.Kind.RUN, run.id)}"
    page = admin.get(address).content.decode()
    assert "no worker of the queue runs has been seen at all" in page
    assert 'href="/runs?tag=old"' in page
    control.cancel_run(scope=bench.scope, run_id=run.id)
    runs.advance(bench.scope, run.id)
    assert ">Retry</button>" in admin.get(address).content.decode()
    again = admin.post(f"{address}/again", {"act": "retry"})
    new = admin.get(again.headers["Location"]).content.decode()
    assert f'href="{address}">earlier run' in new
