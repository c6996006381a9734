"""How fast the console is: every page over 10,000 runs, and 300 viewers of one live run.

`python -m pytest tests/benchmarks/bench_console.py -s` writes `out/bench_console.json`.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import psycopg
import pytest
from django.test import Client

from octavo.devserver.processes import ROOT
from octavo.kernel import ids
from tests import runs
from tests.runs import Bench

pytestmark = pytest.mark.benchmark

RUNS = 10_000
REPEATS = 60
MOST_P95_MS = 150
VIEWERS = 300
FILTERED = {
    "runs_with_words": "/runs?q=zebra",
    "runs_that_failed": "/runs?status=failed&span=week",
    "runs_of_an_agent": "/runs?agent=guide",
}
SEED = """
INSERT INTO run (id, organisation_id, team_id, project_id, agent_id, agent_name, agent_version_id,
  version, strategy, root_id, status, input, output, started_by, starter_id, metadata, cost_usd,
  steps, created_at, started_at, finished_at)
SELECT made.id, run.organisation_id, run.team_id, run.project_id, run.agent_id, run.agent_name,
  run.agent_version_id, run.version, run.strategy, made.id,
  (ARRAY['done', 'done', 'failed', 'cancelled'])[1 + mod(made.n, 4)],
  to_jsonb('Question ' || made.n || ' about the weather, the shop and its many rules'),
  '{"text": "An answer."}', run.started_by, run.starter_id, run.metadata, 0.001, 3,
  made.at, made.at, made.at + interval '3 s'
FROM (SELECT * FROM run WHERE agent_name <> '' LIMIT 1) AS run, (
  SELECT n, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
    || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 5, 15))::uuid AS id
  FROM (SELECT n, now() - n * interval '20 s' AS at FROM generate_series(1, 10000) AS n) AS moments
) AS made
RETURNING id
"""


def report(**figures: Any) -> None:
    """Add to the JSON file of this benchmark, and show it."""
    path = Path(os.environ.get("OCTAVO_BENCH_OUT", ROOT / "out")) / "bench_console.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **figures}, indent=2))
    sys.stdout.write(json.dumps(figures) + "\n")


def test_every_page_over_ten_thousand_runs(
    bench: Bench, installation: Any, processes: Any, free_port: int
) -> None:
    from tests.e2e.stage import set_up
    from tests.e2e.tour import prepare_tour

    with set_up(installation, processes, free_port) as stage:
        pages = prepare_tour(stage.scope)
        assert len(bench.rows(SEED)) == RUNS
        with psycopg.connect(bench.superuser_url, autocommit=True) as connection:
            connection.execute("ANALYZE run")
        cookies = {"octavo_session": _session_of(installation.admin_email)}
        with httpx2.Client(base_url=stage.url, cookies=cookies, timeout=60) as browser:
            figures = {name: _p95(browser, path) for name, path in {**pages, **FILTERED}.items()}
    report(page_p95_ms=figures, runs=RUNS)
    assert max(figures.values()) <= MOST_P95_MS


def _session_of(email: str) -> str:
    from django.contrib.auth import get_user_model

    client = Client(headers={"Host": "localhost"})
    client.force_login(get_user_model().objects.get(email=email))
    return client.cookies["octavo_session"].value


def _p95(browser: httpx2.Client, path: str) -> float:
    times = []
    for _ in range(REPEATS + 2):
        began = time.perf_counter()
        assert browser.get(path).status_code == 200, path
        times.append((time.perf_counter() - began) * 1000)
    return round(statistics.quantiles(times[2:], n=20)[-1], 1)


def test_three_hundred_viewers_of_one_run(bench: Bench, installation: Any, processes: Any) -> None:
    """All of them see each change, and the database never sees more than its few connections."""
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": n}] for n in range(4)], answer="done")
    web = processes.web(timeout=120)
    cookie = _session_of(installation.admin_email)
    url = f"{web.url}/runs/{ids.encode(ids.Kind.RUN, run.id)}/live"

    async def watch(session: aiohttp.ClientSession, ready: asyncio.Semaphore) -> tuple[int, float]:
        async with session.get(url, headers={"Cookie": f"octavo_session={cookie}"}) as stream:
            assert stream.status == 200
            last = 0
            async for line in stream.content:
                if line.startswith(b"retry"):
                    ready.release()
                if line.startswith(b"id: "):
                    assert int(line[4:]) >= last
                    last = int(line[4:])
            return last, time.monotonic()

    async def all_of_them() -> dict[str, float]:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, read_bufsize=2**20
        ) as session:
            ready = asyncio.Semaphore(0)
            viewers = [asyncio.create_task(watch(session, ready)) for _ in range(VIEWERS)]
            async with asyncio.timeout(200):
                for _ in range(VIEWERS):
                    await ready.acquire()
            while_quiet = await asyncio.to_thread(_connections, bench)
            await asyncio.to_thread(runs.advance, bench.scope, run.id)
            ended = time.monotonic()
            seen = await asyncio.gather(*viewers)
        lasts = {last for last, _ in seen}
        assert len(lasts) == 1
        return {
            "viewers": len(seen),
            "connections_while_quiet": while_quiet,
            "last_viewer_saw_the_end_after_s": round(max(at for _, at in seen) - ended, 2),
        }

    figures = asyncio.run(all_of_them())
    report(**figures)
    assert figures["connections_while_quiet"] <= 20


def _connections(bench: Bench) -> int:
    """Connections of the application's role to this database; the test's own are among them."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'octavo_app'"
    return int(bench.rows(sql)[0][0])
