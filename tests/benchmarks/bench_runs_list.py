"""How fast runs are found among 100,000, by every filter, and what finding them costs an append.

`python -m pytest tests/benchmarks/bench_runs_list.py -s` writes `out/bench_runs_list.json`.
"""

import json
import os
import re
import statistics
import sys
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from octavo.devserver.processes import ROOT
from octavo.kernel import clock
from tests import runs
from tests.runs import Bench

pytestmark = pytest.mark.benchmark

RUNS = 100_000
REPEATS = 15
MOST_MS = 50
LEAST_HOT = 99
APPENDS = 300

# Half a year of a busy project: a handful of agents, rare failures, a thousand customers.
SEED = """
INSERT INTO run (id, organisation_id, team_id, project_id, agent_id, agent_name, agent_version_id,
  version, strategy, root_id, parent_id, status, waiting_on, input, output, error, started_by,
  starter_id, session, metadata, tags, cost_usd, steps, created_at, started_at, finished_at)
SELECT made.id, run.organisation_id, run.team_id, run.project_id, run.agent_id,
  CASE WHEN n % 1000 = 7 THEN 'rare-bee' ELSE 'bee-' || n % 12 END, run.agent_version_id,
  run.version, run.strategy, made.id,
  CASE WHEN n % 20 = 3 THEN run.id END, made.status,
  CASE WHEN made.status = 'waiting' THEN jsonb_build_object('kind', 'approval', 'id', 'apr_x',
    'since', now()) END,
  to_jsonb('Question ' || n || ' about the ' || (ARRAY['weather', 'shop', 'harbour'])[1 + n % 3]
    || CASE WHEN n % 9973 = 0 THEN ' and a zebra' ELSE '' END || repeat(' and its many rules', 20)),
  jsonb_build_object('text', repeat('An answer. ', 40)),
  CASE WHEN made.status = 'failed' THEN jsonb_build_object('code',
    (ARRAY['deadline', 'provider', 'steps'])[1 + n % 3], 'detail', 'It failed.') END,
  CASE WHEN n % 50 = 0 THEN 'service:nightly' ELSE run.started_by END, run.starter_id,
  CASE WHEN n % 4 = 0 THEN 'chat-' || n / 40 ELSE '' END,
  jsonb_build_object('customer', 'c' || n % 1000, 'env',
    CASE WHEN n % 10 = 0 THEN 'test' ELSE 'prod' END, 'order', n),
  CASE WHEN n % 2 = 0 THEN ARRAY['nightly'] ELSE '{}' END
    || CASE WHEN n % 5000 = 1 THEN ARRAY['incident'] ELSE '{}' END,
  CASE WHEN n % 3000 = 0 THEN 7.5 ELSE 0.0001 * (n % 900) END, 3, at, at,
  CASE WHEN made.status IN ('ready', 'waiting') THEN NULL
    ELSE at + make_interval(secs => 1 + n % 60 + CASE WHEN n % 4000 = 2 THEN 7200 ELSE 0 END) END
FROM run, (
  SELECT n, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
    || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 5, 15))::uuid AS id,
    CASE WHEN n <= 300 THEN 'ready' WHEN n % 500 = 9 THEN 'waiting' WHEN n % 40 = 5 THEN 'failed'
      WHEN n % 70 = 6 THEN 'cancelled' WHEN n % 5000 = 4 THEN 'quarantined' ELSE 'done' END
      AS status
  FROM (SELECT n, now() - n * interval '150 s' AS at FROM generate_series(1, 100000) AS n)
    AS moments
) AS made
RETURNING id
"""


def filters(parent: UUID) -> dict[str, dict[str, Any]]:
    now = clock.now()
    return {
        "none": {},
        **{f"status={status}": {"status": status} for status in _statuses()},
        "agent": {"agent": "bee-3"},
        "agent, rare": {"agent": "rare-bee"},
        "tag, common": {"tags": ("nightly",)},
        "tag, rare": {"tags": ("incident",)},
        "tag, absent": {"tags": ("nothing",)},
        "metadata, common": {"metadata": {"env": "prod"}},
        "metadata, rare": {"metadata": {"customer": "c77"}},
        "metadata, number": {"metadata": {"order": "77777"}},
        "min_cost": {"min_cost": Decimal(7)},
        "min_cost, absent": {"min_cost": Decimal(700)},
        "max_cost": {"max_cost": Decimal("0.0001")},
        "min_seconds": {"min_seconds": 3600},
        "error": {"error": "deadline"},
        "error, absent": {"error": "nothing"},
        "session": {"session": "chat-77"},
        "started_by": {"started_by": "service:nightly"},
        "started_by, absent": {"started_by": "user:nobody"},
        "parent": {"parent": parent},
        "roots": {"only_roots": True},
        "retry_of, absent": {"retry_of": parent},
        "hour": {"since": now - timedelta(hours=1)},
        "window of old": {"since": now - timedelta(days=90), "until": now - timedelta(days=89)},
        "text, common": {"text": "harbour"},
        "text, rare": {"text": "zebra"},
        "text, absent": {"text": "giraffe"},
        "agent, status, rare": {"agent": "rare-bee", "status": _status("failed")},
        "agent, cost": {"agent": "bee-3", "min_cost": Decimal(7)},
        "tag, metadata, status": {
            "tags": ("nightly",),
            "metadata": {"env": "test"},
            "status": _status("failed"),
        },
        "metadata common, cost": {"metadata": {"env": "prod"}, "min_cost": Decimal(7)},
        "metadata common, cost absent": {"metadata": {"env": "prod"}, "min_cost": Decimal(70)},
        "text common, error": {"text": "harbour", "error": "provider"},
        "text common, tag absent": {"text": "harbour", "tags": ("nothing",)},
    }


def _statuses() -> list[Any]:
    from apps.orchestration.types.runs import RunStatus

    return list(RunStatus)


def _status(name: str) -> Any:
    from apps.orchestration.types.runs import RunStatus

    return RunStatus(name)


def report(**figures: Any) -> None:
    """Add to the JSON file of this benchmark, and show it."""
    path = Path(os.environ.get("OCTAVO_BENCH_OUT", ROOT / "out")) / "bench_runs_list.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **figures}, indent=2))
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


def test_every_filter_over_a_hundred_thousand_runs(bench: Bench) -> None:
    runs.save(bench.scope)
    first = runs.start(bench.scope, answer="done")
    runs.advance(bench.scope, first.id)
    with psycopg.connect(bench.superuser_url, autocommit=True) as connection:
        assert connection.execute(SEED).rowcount == RUNS
        connection.execute("VACUUM ANALYZE run")
    figures, plans = {}, {}
    for name, given in filters(first.id).items():
        figures[name], plans[name] = _measure(bench, given)
    slowest = max(figures, key=lambda name: figures[name])
    report(list_ms=figures, runs=RUNS, slowest=slowest)
    assert {name for name, plan in plans.items() if "Seq Scan on run" in plan} == set()
    assert figures[slowest] <= MOST_MS


def _measure(bench: Bench, given: dict[str, Any]) -> tuple[float, str]:
    """The median time of the whole selector, permission included, and the plan of its statement."""
    from django.db import connection

    from apps.orchestration import finding, selectors
    from apps.orchestration.types.serving import RunFilter

    wanted, times = RunFilter(**given), []
    for _ in range(REPEATS):
        began = time.perf_counter()
        selectors.list_runs(scope=bench.scope, wanted=wanted, limit=51)
        times.append((time.perf_counter() - began) * 1000)
    rows = finding.find(bench.scope.project_id, wanted, finding.Window(limit=51))
    statement, values = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", values)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    if os.environ.get("OCTAVO_BENCH_PLANS"):
        sys.stdout.write(f"\n== {given}\n{re.sub('::uuid', '', plan)}\n")
    return round(statistics.median(times), 1), plan


def test_an_append_is_heap_only(bench: Bench) -> None:
    from apps.orchestration import activation, journal, leases
    from tests.benchmarks.noop_worker import take_steps

    runs.save(bench.scope)
    with psycopg.connect(bench.superuser_url, autocommit=True) as connection:
        before = _updates(connection)
        for _ in range(10):
            claimed = journal.claim(run_id=runs.start(bench.scope).id, owner=leases.OWNER)
            assert claimed is not None
            run, head = claimed
            with leases.hold(run.id, head.fence) as lease:
                take_steps(activation.load(run, head, lease), APPENDS)
        connection.execute("SELECT pg_stat_force_next_flush()")
        _flush()
        after = _updates(connection)
    total, hot = (new - old for new, old in zip(after, before, strict=True))
    report(appends=10 * APPENDS, hot_percent=round(100 * hot / total, 2))
    assert hot >= total * LEAST_HOT / 100


def _flush() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    connection.close()


def _updates(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    connection.execute("SELECT pg_stat_clear_snapshot()")
    found = connection.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'run'"
    ).fetchone()
    assert found is not None
    return found
