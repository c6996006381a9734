"""What waiting costs: many runs that wait at once, and ten thousand that wait for days.

`python -m pytest tests/benchmarks/bench_waiting.py -s` writes `out/bench_waiting.json`.
OCTAVO_BENCH_WAIT is how many seconds each wait and each model takes (1): on a machine n times
slower than another, n seconds show what one second takes there, n times over.
"""

import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from octavo.devserver.processes import ROOT
from octavo.kernel import jobs
from tests import runs
from tests.benchmarks.bench_runs import COLUMNS
from tests.runs import Bench

pytestmark = pytest.mark.benchmark

RUNS = 500
SECONDS = int(os.environ.get("OCTAVO_BENCH_WAIT", "1"))
PARKED = int(os.environ.get("OCTAVO_BENCH_PARKED", "10000"))
WOKEN = 100
IDLE_SECONDS = 20.0
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
ENDED = "SELECT count(*) FROM run WHERE status = 'done'"
SPREAD = "SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM run"
PATIENT = {
    "nodes": [{"id": name, "kind": "wait", "seconds": SECONDS} for name in ("one", "two", "three")],
    "edges": [{"from": "one", "to": "two"}, {"from": "two", "to": "three"}],
}
COPIES = """
WITH copied AS (
  INSERT INTO run (id, root_id, status, fence, next_seq, started_at, waiting_on, {columns})
  SELECT copy.id, copy.id, run.status, run.fence, run.next_seq, now(), run.waiting_on, {columns}
  FROM run, (SELECT uuidv7() AS id FROM generate_series(1, %(count)s)) AS copy
  WHERE run.id = %(id)s RETURNING id
), timed AS (
  INSERT INTO timer (run_id, key, fire_at)
  SELECT copied.id, 'far', now() + interval '7 days' FROM copied
)
INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, data)
SELECT copied.id, seq, type, step, attempt, fence, started_at, data FROM copied, event
WHERE run_id = %(id)s
"""
BLOBS = "SELECT count(*) FROM run_blob"
LATENCIES = """
SELECT extract(epoch FROM run.finished_at - mail.at) FROM run JOIN mail ON mail.run_id = run.id
WHERE run.status = 'done' AND mail.kind = 'signal'
"""


def report(**figures: Any) -> None:
    path = Path(os.environ.get("OCTAVO_BENCH_OUT", ROOT / "out")) / "bench_waiting.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **figures}, indent=2))
    sys.stdout.write(json.dumps(figures) + "\n")


def megabytes(workers: list[Any]) -> float:
    """Of all worker processes together, each shared page counted once."""
    sizes = [psutil.Process(worker.pid).memory_full_info().pss for worker in workers]
    return round(sum(sizes) / 2**20)


def cpu_seconds(workers: list[Any]) -> float:
    times = [psutil.Process(worker.pid).cpu_times() for worker in workers]
    return sum(one.user + one.system for one in times)


def start_workers(processes: Any, *, threads: int = 64) -> list[Any]:
    """Two processes, as one host of two cores has them."""
    return [
        processes.worker(queues="runs,control", threads=threads, timeout=90, **SETTINGS)
        for _ in range(2)
    ]


def measure_runs(bench: Bench, processes: Any, *, threads: int) -> dict[str, float]:
    """From the moment that workers which are ready may take the queued runs, until all have ended.

    Seconds, CPU seconds of the workers, and megabytes of both together.
    """
    held = "SET {} = now() + interval '1 hour' RETURNING 1"
    bench.rows(f"UPDATE outbox {held.format('available_at')}")
    bench.rows(f"UPDATE run {held.format('hinted_at')}")
    workers = start_workers(processes, threads=threads)
    time.sleep(3)
    before = cpu_seconds(workers)
    bench.rows("UPDATE run SET hinted_at = now() RETURNING 1")
    bench.rows("UPDATE outbox SET available_at = now() RETURNING 1")
    jobs.ping()
    runs.eventually(lambda: bench.rows(ENDED) == [(RUNS,)], within=240)
    return {
        "seconds": round(float(bench.rows(SPREAD)[0][0]), 2),
        "workers_cpu_seconds": round(cpu_seconds(workers) - before, 2),
        "workers_pss_mb": megabytes(workers),
    }


def test_five_hundred_runs_of_three_waits(bench: Bench, processes: Any) -> None:
    from apps.orchestration.services import workflow_runs, workflows

    workflows.save_workflow(scope=bench.scope, name="patient", source=PATIENT, create=True)
    for _ in range(RUNS):
        workflow_runs.start_workflow(scope=bench.scope, workflow="patient", input={"n": 1})
    measured = measure_runs(bench, processes, threads=16)
    report(three_waits={"seconds_each": SECONDS, **measured}, runs=RUNS)


def test_five_hundred_runs_of_three_governed_model_calls(bench: Bench, processes: Any) -> None:
    runs.save(bench.scope)
    calls = [["box_look", {"n": n}] for n in range(2)]
    for _ in range(RUNS):
        runs.start(bench.scope, calls=calls, delay=SECONDS)
    measured = measure_runs(bench, processes, threads=250)
    report(three_model_calls={"seconds_each": SECONDS, **measured}, runs=RUNS)


def test_ten_thousand_runs_that_wait(bench: Bench, processes: Any) -> None:
    from apps.orchestration.services import control

    runs.save(bench.scope, tools=("await_signal",))
    bench.chat.script = {"calls": [["await_signal", {"name": "go"}]], "answer": "done"}
    first = runs.start(bench.scope)
    runs.advance(bench.scope, first.id)
    workers = start_workers(processes)
    time.sleep(10)
    before, idle_before = megabytes(workers), _idle(workers)
    columns = [name for (name,) in bench.rows(COLUMNS) if name not in {"waiting_on", "fence"}]
    with psycopg.connect(bench.superuser_url, autocommit=True) as connection:
        listed = ", ".join(columns)
        connection.execute(COPIES.format(columns=listed), {"id": first.id, "count": PARKED})
        connection.execute("ANALYZE")
    time.sleep(10)
    idle_after, after = _idle(workers), megabytes(workers)
    parked = bench.rows("SELECT id FROM run WHERE status = 'waiting' ORDER BY id LIMIT %s", WOKEN)
    for (run_id,) in parked:
        control.signal_run(scope=bench.scope, run_id=run_id, name="go")
        threading.Event().wait(0.05)
    runs.eventually(lambda: bench.rows(ENDED) == [(WOKEN,)], within=120)
    latencies = sorted(float(row[0]) for row in bench.rows(LATENCIES))
    report(
        waiting_runs=PARKED,
        idle_cpu_percent={"without": idle_before, "with": idle_after},
        workers_pss_mb={"without": before, "with": after},
        signal_to_end_seconds={
            "p50": round(statistics.median(latencies), 3),
            "p95": round(latencies[int(len(latencies) * 0.95)], 3),
        },
    )


def _idle(workers: list[Any]) -> float:
    began = cpu_seconds(workers)
    time.sleep(IDLE_SECONDS)
    return round((cpu_seconds(workers) - began) / IDLE_SECONDS * 100, 2)
