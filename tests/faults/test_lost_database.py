"""Connections that die under a worker, as when PostgreSQL restarts, cost time and nothing else."""

from typing import Any

from tests import runs
from tests.faults.test_killed_workers import assert_journals_are_whole
from tests.runs import Bench

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.settings", "OCTAVO_LEASE_SECONDS": "3"}
RUNS = 8
CALLS = 5
CUT = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE usename = 'octavo_app' AND datname = current_database()"
)


def test_runs_survive_every_connection_being_cut(bench: Bench, processes: Any) -> None:
    runs.save(bench.scope)
    calls = [["box_count", {"n": n}] for n in range(CALLS)]
    for _ in range(RUNS):
        runs.start(bench.scope, calls=calls, delay=0.4)
    from django.db import connections

    connections.close_all()
    connections["default"].close_pool()
    processes.worker(queues="runs", threads=4, **SETTINGS)
    counted = "SELECT count(*) FROM event"
    for share in (0.2, 0.4, 0.6, 0.8):
        least = share * RUNS * (2 * CALLS + 3)
        runs.eventually(lambda n=least: bench.rows(counted)[0][0] >= n, within=60)
        bench.rows(CUT)
    ended = "SELECT count(*) FROM run WHERE status NOT IN ('ready', 'running', 'waiting')"
    runs.eventually(lambda: bench.rows(ended) == [(RUNS,)], within=60)

    assert_journals_are_whole(bench, of=RUNS, steps=2 * CALLS + 1)
    assert bench.rows("SELECT count(*) FROM toolbox_count") == [(RUNS * CALLS,)]
