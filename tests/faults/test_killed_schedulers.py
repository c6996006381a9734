"""Workers killed while schedules fire: no due time and no event is lost, and none comes twice."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

from apps.orchestration import selectors
from apps.orchestration.services import reacting, scheduling
from apps.orchestration.types.triggers import (
    EventSettings,
    FiringOutcome,
    Missed,
    Overlap,
    TriggerEvent,
    TriggerKind,
)
from tests import runs
from tests.runs import Bench

SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "OCTAVO_LEASE_SECONDS": "2",
    "OCTAVO_TRIGGER_RUNS_PER_MINUTE": "1000",
}
FIRED = "SELECT count(*) FROM trigger_firing"
ENDED = "SELECT count(*) FROM run WHERE status = 'done' AND triggered_by LIKE 'sch_%%'"
ANSWERED = "SELECT count(*) FROM run WHERE triggered_by LIKE 'trg_%%'"
REPEATED = "SELECT input FROM run WHERE triggered_by LIKE 'trg_%%' GROUP BY 1 HAVING count(*) > 1"


def _worker(processes: Any) -> Any:
    return processes.worker(queues="runs", threads=4, timeout=120, **SETTINGS)


def _fire_some(bench: Bench) -> None:
    before = bench.rows(FIRED)[0][0]
    runs.eventually(lambda: bench.rows(FIRED)[0][0] > before + 3, within=60)


def test_no_due_time_and_no_event_is_lost_or_repeated(bench: Bench, processes: Any) -> None:
    runs.save(bench.scope)
    runs.save(bench.scope, "follower")
    schedule = scheduling.create_schedule(
        scope=bench.scope,
        agent="worker-bee",
        input={"answer": "done"},
        every_seconds=1,
        overlap=Overlap.PARALLEL,
        missed=Missed.RUN_ALL,
    )
    on_end = EventSettings(on=TriggerEvent.RUN_FINISHED, agent="worker-bee")
    reacting.create_event_trigger(scope=bench.scope, agent="follower", settings=on_end)
    victims = [_worker(processes), _worker(processes)]
    for victim in victims:
        _fire_some(bench)
        victim.kill()
        _worker(processes)
    _fire_some(bench)
    held = "UPDATE run_trigger SET paused_at = now(), next_due_at = NULL WHERE kind = 'schedule'"
    bench.rows(f"{held} RETURNING id")
    runs.eventually(lambda: bench.rows("SELECT 1 FROM run WHERE status <> 'done'") == [], within=60)
    runs.eventually(lambda: bench.rows("SELECT 1 FROM kept_event") == [], within=60)

    firings = selectors.list_firings(
        scope=bench.scope, kind=TriggerKind.SCHEDULE, trigger_id=schedule.id, limit=1000
    )
    assert {firing.outcome for firing in firings} == {FiringOutcome.STARTED}
    due = sorted(firing.due_at for firing in firings)
    assert {later - earlier for earlier, later in pairwise(due)} == {timedelta(seconds=1)}
    assert len({firing.run_id for firing in firings}) == len(firings)
    assert bench.rows(ENDED) == bench.rows(ANSWERED) == [(len(firings),)]
    assert bench.rows(REPEATED) == []
