"""Workers killed around an approval or an unsafe call: made once, or asked about; never twice."""

from typing import Any

from apps.governance import selectors as governance
from apps.governance.services import approvals
from apps.governance.types import Verdict
from apps.orchestration import selectors
from apps.orchestration.services import control
from apps.orchestration.types.runs import RunStatus
from tests import runs, toolbox
from tests.runs import Bench

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.settings", "OCTAVO_LEASE_SECONDS": "2"}
PARKED = "SELECT count(*) FROM run WHERE status = 'waiting'"
ENDED = "SELECT count(*) FROM run WHERE status = 'done'"


def _worker(processes: Any) -> Any:
    return processes.worker(queues="runs", threads=4, **SETTINGS)


def test_an_approved_call_is_made_once_though_workers_die_around_the_verdict(
    bench: Bench, processes: Any
) -> None:
    runs.save(bench.scope)
    started = [runs.start(bench.scope, calls=[["box_launch", {"n": n}]]) for n in range(4)]
    first = _worker(processes)
    runs.eventually(lambda: bench.rows(PARKED) == [(4,)])
    first.kill()

    asked = governance.list_approvals(scope=bench.scope)
    approvals.decide(scope=bench.scope, approval_id=asked[0].id, verdict=Verdict.APPROVE)
    second = _worker(processes)
    runs.eventually(lambda: bench.rows(ENDED) == [(1,)])
    for approval in asked[1:]:
        approvals.decide(scope=bench.scope, approval_id=approval.id, verdict=Verdict.APPROVE)
    second.kill()
    _worker(processes)

    runs.eventually(lambda: bench.rows(ENDED) == [(4,)], within=40)
    trail = toolbox.read_trail()
    # A keyed call that the kill cut off may be repeated, with its key; never recorded twice.
    assert {run for _, run, _, _ in trail} == {str(run.id) for run in started}
    assert len({key for _, _, _, key in trail}) == 4
    twice = "SELECT run_id FROM event WHERE type = 'tool_answered' GROUP BY 1 HAVING count(*) > 1"
    assert bench.rows(twice) == []


def test_an_unsafe_call_cut_off_by_a_kill_is_asked_about_and_not_repeated(
    bench: Bench, processes: Any
) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_send", {"n": 1, "seconds": 30}]])
    first = _worker(processes)
    runs.eventually(lambda: toolbox.read_trail())
    first.kill()
    _worker(processes)

    runs.eventually(lambda: bench.rows(PARKED) == [(1,)])
    waiting = selectors.get_run(scope=bench.scope, run_id=run.id).waiting_on
    assert waiting is not None
    assert waiting.kind == "effect"
    assert bench.rows("SELECT state FROM effect") == [("unknown",)]
    control.resolve_effect(
        scope=bench.scope, run_id=run.id, step=waiting.id, outcome="happened", result="sent"
    )
    runs.eventually(lambda: bench.rows(ENDED) == [(1,)])
    assert selectors.get_run(scope=bench.scope, run_id=run.id).status is RunStatus.SUCCEEDED
    assert len(toolbox.read_trail()) == 1
    assert bench.rows("SELECT state FROM effect") == [("done",)]
