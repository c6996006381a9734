"""What the OpenAI edge adds to a model call, with key, policy, budget, span and usage.

    pytest tests/benchmarks/bench_gateway.py -m benchmark -s

CPU of the web process a call, latency added at concurrency 1, throughput and memory at 16.
OCTAVO_BENCH_CALLS sets how many calls are measured (default 500).
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.inference.upstream import Upstream, running

CALLS = int(os.environ.get("OCTAVO_BENCH_CALLS", "500"))
AT_ONCE = 16
BODY: dict[str, Any] = {
    "model": "main",
    "max_tokens": 50,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant. " * 20},
        {"role": "user", "content": "Say hello."},
    ],
}

pytestmark = pytest.mark.benchmark


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running() as server:
        yield server


@pytest.fixture
def web(installation: Any, processes: Any, upstream: Upstream) -> Any:
    from apps.governance.services import budgets
    from apps.governance.types import BudgetScope, Limits, Period
    from tests.conformance.openai.conftest import point_routes

    scope = installation.scope
    point_routes(scope, upstream.url)
    for on, target in (
        (BudgetScope.PROJECT, scope.project_id),
        (BudgetScope.ORGANISATION, scope.organisation_id),
    ):
        budgets.create_budget(
            scope=scope,
            on=on,
            target_id=target,
            period=Period.MONTH,
            limits=Limits(usd=Decimal(1000)),
        )
    return processes.web(timeout=90)


def test_gateway(web: Any, upstream: Upstream, installation: Any) -> None:
    key = installation.issued_key.secret
    report = asyncio.run(measure(web, upstream, key))
    print(json.dumps(report, indent=1))  # noqa: T201  the result of a benchmark


async def measure(web: Any, upstream: Upstream, key: str) -> dict[str, Any]:
    edge = f"{web.url}/v1/chat/completions"
    direct = f"{upstream.url}/v1/chat/completions"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        await one_by_one(session, edge, 50)
        straight = await one_by_one(session, direct, CALLS)
        before = cpu_seconds(web.pid)
        through = await one_by_one(session, edge, CALLS)
        alone = cpu_seconds(web.pid) - before
        before, started = cpu_seconds(web.pid), time.perf_counter()
        workers = [one_by_one(session, edge, CALLS // AT_ONCE) for _ in range(AT_ONCE)]
        await asyncio.gather(*workers)
        elapsed, busy = time.perf_counter() - started, cpu_seconds(web.pid) - before
        before = cpu_seconds(web.pid)
        await one_by_one(session, edge, CALLS, stream=True)
        streamed = cpu_seconds(web.pid) - before
    calls = CALLS // AT_ONCE * AT_ONCE
    return {
        "calls": CALLS,
        "cpu_ms_a_call": round(alone / CALLS * 1000, 2),
        "cpu_ms_a_call_at_16": round(busy / calls * 1000, 2),
        "cpu_ms_a_streamed_call": round(streamed / CALLS * 1000, 2),
        "p50_added_ms": round((statistics.median(through) - statistics.median(straight)) * 1e3, 2),
        "calls_a_second_at_16": round(calls / elapsed, 1),
        "memory_mb": round(resident(web.pid) / 2**20, 1),
    }


async def one_by_one(
    session: aiohttp.ClientSession, url: str, calls: int, *, stream: bool = False
) -> list[float]:
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        async with session.post(url, json=BODY | {"stream": stream}) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        seconds.append(time.perf_counter() - started)
    return seconds


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
