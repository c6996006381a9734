"""A killed process loses nothing and repeats nothing: real workers, real kills, real steps."""

import signal
import time
from typing import Any

import redis

from apps.governance.services import budgets
from apps.governance.types import BudgetScope, Period
from octavo.devserver.processes import worker_command
from octavo.kernel.scope import SYSTEM
from tests import runs, toolbox
from tests.runs import Bench

RUNS = 20
CALLS = 6
LEASE = "3"
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "OCTAVO_LEASE_SECONDS": LEASE,
}
_OVER = "SELECT count(*) FROM run WHERE status NOT IN ('ready', 'running', 'waiting')"


def assert_journals_are_whole(bench: Bench, *, of: int, steps: int) -> None:
    """All succeeded; no sequence has a gap; no step is recorded twice; effects are there once."""
    assert bench.rows("SELECT status, count(*) FROM run GROUP BY 1") == [("done", of)]
    gaps = "SELECT run_id FROM event GROUP BY 1 HAVING count(*) <> max(seq) OR min(seq) <> 1"
    assert bench.rows(gaps) == []
    twice = (
        "SELECT run_id, step FROM event WHERE type IN ('model_answered', 'tool_answered') "
        "GROUP BY 1, 2 HAVING count(*) > 1"
    )
    assert bench.rows(twice) == []
    assert bench.rows("SELECT DISTINCT steps FROM run") == [(steps,)]
    assert bench.rows("SELECT id FROM run WHERE mail_seq > read_seq AND status = 'waiting'") == []


def test_twenty_runs_survive_kills_a_hang_and_a_flushed_redis(
    bench: Bench, processes: Any, redis_url: str
) -> None:
    runs.save(bench.scope)
    calls = [[("box_count" if n % 2 else "box_keyed"), {"n": n}] for n in range(CALLS)]
    started = [runs.start(bench.scope, calls=calls, delay=0.3) for _ in range(RUNS)]
    workers = [processes.worker(queues="runs", threads=2, **SETTINGS) for _ in range(2)]

    def journaled() -> int:
        return int(bench.rows("SELECT count(*) FROM event")[0][0])

    for kill, share in enumerate((0.15, 0.3, 0.45, 0.6)):
        threshold = share * RUNS * (2 * CALLS + 3)
        runs.eventually(lambda least=threshold: journaled() >= least, within=60)
        workers[-2].kill()
        if kill % 2:
            with redis.Redis.from_url(redis_url) as client:
                client.flushdb()
        workers.append(_start_worker(processes, kill))
    assert bench.rows(_OVER) != [(RUNS,)], "the runs were over before the last kill"
    hung = next(worker for worker in workers if worker.is_alive)
    hung.popen.send_signal(signal.SIGSTOP)
    workers.append(_start_worker(processes, 9))
    runs.eventually(lambda: bench.rows(_OVER) == [(RUNS,)], within=90, what="runs are stuck")
    hung.popen.send_signal(signal.SIGCONT)

    assert_journals_are_whole(bench, of=RUNS, steps=2 * CALLS + 1)
    assert bench.rows("SELECT count(*) FROM toolbox_count") == [(RUNS * CALLS // 2,)]
    keys = {(run, step): key for _, run, step, key in toolbox.read_trail()}
    assert len(keys) == RUNS * CALLS // 2
    assert len(set(keys.values())) == len(keys)
    assert {str(run.id) for run in started} == {run for run, _ in keys}


def _start_worker(processes: Any, number: int) -> Any:
    """Without waiting until it is ready."""
    command = worker_command(name=f"again{number}", queues="runs", threads=2)
    return processes.start("worker", command, **SETTINGS)


def test_a_killed_workers_run_goes_on_within_its_lease_and_a_few_seconds(
    bench: Bench, processes: Any
) -> None:
    runs.save(bench.scope)
    workers = [processes.worker(queues="runs", threads=4, **SETTINGS) for _ in range(2)]
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1, "seconds": 2}]])
    runs.eventually(lambda: toolbox.read_trail())
    owner = bench.rows("SELECT owner FROM run")[0][0]
    next(worker for worker in workers if owner.endswith(f":{worker.pid}")).kill()
    killed = time.monotonic()

    runs.eventually(lambda: len(toolbox.read_trail()) == 2, within=float(LEASE) + 5)
    assert time.monotonic() - killed < float(LEASE) + 5
    runs.eventually(lambda: bench.rows(_OVER) == [(1,)])
    assert runs.events(bench.scope, run.id)[-1].type == "run_succeeded"


def test_a_run_killed_during_a_model_call_still_fits_its_budget(
    bench: Bench, processes: Any
) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, delay=2)
    budgets.set_limit(
        scope=bench.scope.acting_as(SYSTEM),
        on=BudgetScope.RUN,
        target_id=run.id,
        period=Period.TOTAL,
        limit_calls=1,
    )
    worker = processes.worker(queues="runs", threads=2, **SETTINGS)
    runs.eventually(lambda: bench.chat.open_calls == 1)
    worker.kill()
    _start_worker(processes, 1)
    runs.eventually(lambda: bench.rows(_OVER) == [(1,)])
    assert runs.types(bench.scope, run.id) == ["run_started", "model_answered", "run_succeeded"]


def test_a_stopped_worker_hands_its_runs_back_and_is_gone_in_seconds(
    bench: Bench, processes: Any
) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, delay=30)
    worker = processes.worker(queues="runs", threads=4, **SETTINGS)
    runs.eventually(lambda: bench.chat.open_calls == 1)

    stopped = time.monotonic()
    worker.stop(grace=15)
    took = time.monotonic() - stopped
    assert took < 5, took
    assert bench.rows("SELECT status, crashes FROM run") == [("ready", 0)]
    runs.eventually(lambda: bench.chat.open_calls == 0, what="the model call was not cut off")
    assert runs.types(bench.scope, run.id) == ["run_started"]
