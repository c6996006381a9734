"""Steps a second of the engine alone, beside DBOS, LangGraph and Prefect, in one go.

`make bench-runs` gives the peers an environment of their own and writes `out/bench_runs.json`.
Every engine journals no-op steps of 200 bytes in the same PostgreSQL, and is warm when measured.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from octavo.devserver.ports import free_port
from octavo.devserver.processes import ROOT, worker_command
from tests import runs
from tests.runs import Bench

pytestmark = pytest.mark.benchmark

ROUNDS = 3
STEPS, RUNS, STEPS_A_RUN = 1_000, 100, 10
PEERS = {"dbos": (STEPS, RUNS), "langgraph": (STEPS, RUNS), "prefect": (100, 20)}
STATUS = "SELECT status FROM run WHERE id = %s"
ENDED = "SELECT count(*) FROM run WHERE status = 'done'"
SPREAD = "SELECT extract(epoch FROM max(finished_at) - min(created_at)) FROM run WHERE id <> %s"
COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = 'run'::regclass AND attnum > 0
  AND NOT attisdropped AND attgenerated = '' AND attname NOT IN (
    'id', 'root_id', 'status', 'fence', 'owner', 'lease_until', 'next_seq', 'mail_seq', 'read_seq',
    'steps', 'input_tokens', 'output_tokens', 'cost_usd', 'output', 'created_at', 'started_at',
    'finished_at')
"""
COPIES = """
WITH copied AS (
  INSERT INTO run (id, root_id, status, next_seq, {columns})
  SELECT copy.id, copy.id, 'ready', 2, {columns}
  FROM run, (SELECT uuidv7() AS id FROM generate_series(1, %(count)s)) AS copy
  WHERE run.id = %(id)s RETURNING id
), begun AS (
  INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, data)
  SELECT copied.id, 1, type, step, attempt, 0, now(), data FROM copied, event
  WHERE run_id = %(id)s AND seq = 1
)
INSERT INTO outbox (name, args)
SELECT 'orchestration.advance', jsonb_build_object('run_id', id) FROM copied
"""


def test_steps_a_second_beside_peers(bench: Bench, processes: Any) -> None:
    python = os.environ.get("OCTAVO_PEERS_PYTHON", "")
    figures: dict[str, list[dict[str, float]]] = {"octavo": []} | {
        name: [] for name in PEERS if python
    }
    runs.save(bench.scope)
    runs.save(bench.scope, "governed")
    governed = round(statistics.median(_governed(bench) for _ in range(ROUNDS + 2)))
    _start_workers(processes)
    _together(bench, 20)
    for _ in range(ROUNDS):
        figures["octavo"].append({"sequential": _sequential(bench), "together": _together(bench)})
        for name in figures.keys() - {"octavo"}:
            figures[name].append(_peer(bench, python, name))
    report = {
        name: {key: round(statistics.median(one[key] for one in rounds)) for key in rounds[0]}
        for name, rounds in figures.items()
    }
    out = Path(os.environ.get("OCTAVO_BENCH_OUT", ROOT / "out")) / "bench_runs.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    written = {"steps_a_second": report, "governed_steps_a_second": governed, "rounds": figures}
    out.write_text(json.dumps(written, indent=2))
    sys.stdout.write(json.dumps(report) + "\n")
    if len(report) > 1:
        assert all(
            report["octavo"][key] > report[name][key] for name in PEERS for key in report["octavo"]
        ), report


def _start_workers(processes: Any) -> None:
    """Two processes, as one host of two cores has them."""
    for name in ("noop1", "noop2"):
        command = worker_command(name=name, queues="runs", threads=8)
        at = command.index("workers")
        command = (*command[:at], "tests.benchmarks.noop_worker", *command[at + 1 :])
        processes.start(name, command)


def _sequential(bench: Bench) -> float:
    from apps.orchestration import activation, journal, leases
    from tests.benchmarks.noop_worker import take_steps

    claimed = None
    while claimed is None:  # the workers may be faster
        claimed = journal.claim(run_id=runs.start(bench.scope).id, owner=leases.OWNER)
    run, head = claimed
    with leases.hold(run.id, head.fence) as lease:
        active = activation.load(run, head, lease)
        take_steps(active, 100)
        began = time.perf_counter()
        take_steps(active, STEPS)
        return STEPS / (time.perf_counter() - began)


def _governed(bench: Bench) -> float:
    """Model calls over HTTP and tool calls, with policy, budget, usage and spans, in one thread."""
    calls = [["box_look", {"n": n}] for n in range(11)]
    run = runs.start(bench.scope, agent="governed", calls=calls, answer="done")
    began = time.perf_counter()
    done = runs.advance(bench.scope, run.id)
    assert done.steps == 2 * len(calls) + 1, done
    return done.steps / (time.perf_counter() - began)


def _together(bench: Bench, count: int = RUNS) -> float:
    """From the moment that all runs are queued until the last has ended."""
    from octavo.kernel import jobs, redis

    first = runs.start(bench.scope).id
    runs.eventually(lambda: bench.rows(STATUS, first) == [("done",)], within=60)
    columns = [name for (name,) in bench.rows(COLUMNS)]
    with psycopg.connect(bench.superuser_url, autocommit=True) as connection:
        connection.execute("DELETE FROM run WHERE id <> %s", [first])
        listed = ", ".join(columns)
        connection.execute(COPIES.format(columns=listed), {"id": first, "count": count})
    redis.publish(jobs.PING_CHANNEL, b"1")
    runs.eventually(lambda: bench.rows(ENDED) == [(count + 1,)], within=120)
    return count * STEPS_A_RUN / float(bench.rows(SPREAD, first)[0][0])


def _peer(bench: Bench, python: str, name: str) -> dict[str, float]:
    with psycopg.connect(bench.superuser_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS peer_{name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE peer_{name}")
    head, _, query = bench.superuser_url.partition("?")
    url = f"{head.rpartition('/')[0]}/peer_{name}?{query}"
    steps, many = PEERS[name]
    script = Path(__file__).parent / "peers" / f"{name}_runs.py"
    done = subprocess.run(
        [python, str(script), url, str(steps), str(many), str(STEPS_A_RUN)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "PREFECT_BENCH_PORT": str(free_port())},
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
