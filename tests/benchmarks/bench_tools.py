"""What a governed tool call costs: checking arguments, and the gateway over a bare SDK client.

`python -m pytest tests/benchmarks/bench_tools.py -s` writes `out/bench_tools.json`. CPU is that of
this process; the upstream is another one. Bar: at most 2.5 ms added at the median.
"""

import asyncio
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.tools.conftest import HttpUpstream

ROOT = Path(__file__).resolve().parents[2]
ROUNDS, CALLS = 4, 50

pytestmark = pytest.mark.benchmark


def write(figures: dict[str, Any]) -> None:
    path = Path(os.environ.get("OCTAVO_BENCH_OUT", ROOT / "out")) / "bench_tools.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **figures}, indent=2))
    sys.stdout.write(json.dumps(figures) + "\n")


@pytest.fixture
def upstream(tmp_path: Path, free_port: int) -> Iterator[HttpUpstream]:
    server = HttpUpstream(folder=tmp_path, port=free_port)
    server.start()
    yield server
    server.stop()


def test_checking_arguments() -> None:
    from apps.tools import validation

    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "minLength": 1},
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
            "units": {"enum": ["metric", "imperial"]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    good = '{"city": "Lyon", "days": 3, "units": "metric", "tags": ["a", "b"]}'
    bad = '{"city": "Lyon", "days": "3", "units": "metrics", "tag": []}'
    figures = {}
    for name, text in (("valid", good), ("invalid", bad)):
        validation.read(schema, text)
        began = time.perf_counter()
        for _ in range(5_000):
            validation.read(schema, text)
        figures[f"validation_{name}_us"] = round((time.perf_counter() - began) / 5_000 * 1e6, 1)
    write(figures)


def test_gateway_against_a_bare_client(installation: Any, upstream: HttpUpstream) -> None:
    """The same call by turns, in the same process and on the same loop, connections kept open."""
    from django.test import override_settings

    with override_settings(EGRESS_ALLOW=("127.0.0.1",)):
        write(_compare(installation.scope, upstream))


def _compare(scope: Any, upstream: HttpUpstream) -> dict[str, Any]:
    from mcp import Client

    from apps.tools import selectors
    from apps.tools.services import calling, connections, discovering, reviewing, servers
    from apps.tools.types import Classes, ServerSpec, ToolContext, Transport
    from octavo.kernel import io

    spec = ServerSpec(name="lab", transport=Transport.HTTP, url=upstream.url)
    found = discovering.discover(scope=scope, spec=spec)
    servers.add_server(scope=scope, spec=spec, found=found)
    reviewing.approve_server(scope=scope, server="lab", classes=Classes())
    tool = selectors.find_tool(scope=scope, name="lab__echo")
    assert tool is not None
    context = ToolContext(scope=scope, step="s1", idempotency_key="k")
    arguments = {"text": "hello"}

    async def bare() -> Callable[[], Awaitable[Any]]:
        client = Client(upstream.url)
        stop = asyncio.Event()
        ready = asyncio.get_running_loop().create_future()

        async def own() -> None:
            async with client:
                ready.set_result(None)
                await stop.wait()

        keeping.append((asyncio.create_task(own()), stop))
        await ready
        await client.list_tools()
        return lambda: client.call_tool("echo", arguments)

    keeping: list[Any] = []
    ask = io.call(bare(), timeout=60)

    async def asked() -> Any:
        return await ask()

    def through_gateway() -> None:
        prepared = calling.prepare(context=context, tool=tool, arguments=arguments)
        assert io.call(calling.send(prepared), timeout=60).text == "hello"

    def send_only() -> None:
        assert io.call(calling.send(kept), timeout=60).text == "hello"

    kept = calling.prepare(context=context, tool=tool, arguments=arguments)
    ways = {
        "bare": lambda: io.call(asked(), timeout=60),
        "send": send_only,
        "gateway": through_gateway,
    }
    walls, cpus = _measure(ways)

    async def finish() -> None:
        for task, stop in keeping:
            stop.set()
            await task
        await connections.close()

    io.call(finish(), timeout=60)
    figures = {f"{name}_p50_ms": round(statistics.median(walls[name]), 2) for name in ways}
    figures |= {f"{name}_cpu_ms": round(statistics.median(cpus[name]), 2) for name in ways}
    figures["added_p50_ms"] = round(figures["gateway_p50_ms"] - figures["bare_p50_ms"], 2)
    figures["added_cpu_ms"] = round(figures["gateway_cpu_ms"] - figures["bare_cpu_ms"], 2)
    return figures


def _measure(ways: dict[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Milliseconds of each call, and CPU milliseconds a call of each round."""
    walls: dict[str, list[float]] = {name: [] for name in ways}
    cpus: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            way()
            began = _cpu()
            for _ in range(CALLS):
                start = time.perf_counter()
                way()
                walls[name].append((time.perf_counter() - start) * 1e3)
            cpus[name].append((_cpu() - began) / CALLS * 1e3)
    return walls, cpus


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
