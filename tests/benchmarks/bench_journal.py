"""How fast the journal is: one run in sequence, many through Celery, governed model calls.

`python -m pytest tests/benchmarks/bench_journal.py -s` writes `out/bench_journal.json`.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from octavo.devserver.processes import ROOT, worker_command
from tests import runs
from tests.runs import Bench

pytestmark = pytest.mark.benchmark

RUNS = 100
ENDED = "SELECT count(*) FROM run WHERE status = 'done'"
SPREAD = "SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM run"
STEPS = 10
WAL = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"


def report(**figures: Any) -> None:
    """Add to the JSON file of this benchmark, and show it."""
    path = Path(os.environ.get("OCTAVO_BENCH_OUT", ROOT / "out")) / "bench_journal.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **figures}, indent=2))
    sys.stdout.write(json.dumps(figures) + "\n")


def test_one_run_in_sequence(bench: Bench) -> None:
    from apps.orchestration import activation, journal, leases
    from tests.benchmarks.noop_worker import take_steps

    runs.save(bench.scope)
    run_id = runs.start(bench.scope).id
    claimed = journal.claim(run_id=run_id, owner=leases.OWNER)
    assert claimed is not None
    run, head = claimed
    with leases.hold(run.id, head.fence) as lease:
        active = activation.load(run, head, lease)
        take_steps(active, 200)
        before, began = bench.rows(WAL)[0][0], time.perf_counter()
        for _ in range(10):
            take_steps(active, 300)
        seconds = time.perf_counter() - began
    wal = float(bench.rows(WAL)[0][0] - before)
    report(sequential_steps_per_second=round(3000 / seconds), wal_bytes_a_step=round(wal / 3000))


def test_a_hundred_runs_through_celery(bench: Bench, processes: Any) -> None:
    runs.save(bench.scope)
    for _ in range(RUNS):
        runs.start(bench.scope)
    command = worker_command(name="noop", queues="runs", threads=16)
    at = command.index("workers")
    command = (*command[:at], "tests.benchmarks.noop_worker", *command[at + 1 :])
    processes.start("worker", command)
    runs.eventually(lambda: bench.rows(ENDED) == [(RUNS,)], within=60)
    seconds = float(bench.rows(SPREAD)[0][0])
    report(celery_steps_per_second=round(RUNS * STEPS / seconds))


def test_a_fork_of_three_hundred_events(bench: Bench) -> None:
    """300 events of 2 KB that do not compress, copied in one statement."""
    from apps.orchestration.models import Run
    from apps.orchestration.services import forking

    runs.save(bench.scope)
    parent = runs.start(bench.scope, calls=[["box_look", {"n": 1}]])
    runs.advance(bench.scope, parent.id)
    bench.rows(
        "INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, data) "
        "SELECT run_id, 100 + n, type, 'tools.x.' || n, 1, fence, started_at, data || "
        "jsonb_build_object('pad', (SELECT string_agg(md5(n::text || m::text), '') "
        "FROM generate_series(1, 62) AS m)) "
        "FROM event, generate_series(1, 300) AS n WHERE run_id = %s AND step = 'tools.1.0' "
        "RETURNING seq",
        parent.id,
    )
    point = forking._point(Run.objects.get(id=parent.id), "tools.x.300", ())
    took = []
    for _ in range(5):
        made = forking.fork_run(scope=bench.scope, run_id=parent.id, at_step="model.1")
        bench.rows("DELETE FROM event WHERE run_id = %s AND seq > 1 RETURNING seq", made.id)
        bench.rows("UPDATE run SET next_seq = 2 WHERE id = %s RETURNING id", made.id)
        began = time.perf_counter()
        forking._copy(Run.objects.get(id=parent.id), point, made.id, route="", dry_run=False)
        took.append(time.perf_counter() - began)
    report(fork_of_300_events_ms=round(min(took) * 1000, 1))
