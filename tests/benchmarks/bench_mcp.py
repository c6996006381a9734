"""CPU that a web process spends on an inbound MCP `tools/call`: key, policy, journal and answer.

    pytest tests/benchmarks/bench_mcp.py -m benchmark -s

Beside it the bare SDK, whose tool does nothing. CPU time of the server process is compared, because
wall time on a shared machine says little; bar: at most 2.5 ms.
"""

import http.client
import json
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import pytest

from octavo.devserver import ports
from octavo.devserver.processes import is_ready

pytestmark = pytest.mark.benchmark

WARM_UP, CALLS = 100, 500
BARE = "tests.benchmarks.bare_mcp:application"
_VERSION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": _VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def test_cpu_per_inbound_tool_call(processes: Any, installation: Any, tmp_path: Path) -> None:
    web = processes.web(timeout=90)
    report = {"octavo": _measure(web, "context_list", installation.issued_key.secret)}
    port = ports.free_port()
    url = f"http://127.0.0.1:{port}"
    command = (sys.executable, "-m", "uvicorn", BARE, "--port", str(port), "--ws", "none")
    bare = processes.start("bare", (*command, "--log-level", "warning"), url=url)
    bare.wait_until(lambda: is_ready(f"{url}/healthz"), timeout=60)
    report["bare_sdk"] = _measure(bare, "nothing", "")
    out = Path("out")
    out.mkdir(exist_ok=True)
    (out / "bench_mcp.json").write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2))  # noqa: T201  the benchmark's output


def _measure(process: Any, tool: str, key: str) -> dict[str, float]:
    body = orjson.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": {}, "_meta": _META},
        }
    )
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": _VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    web = psutil.Process(process.pid)
    with closing(http.client.HTTPConnection(urlsplit(process.url).netloc)) as connection:

        def call() -> float:
            began = time.perf_counter()
            connection.request("POST", "/mcp", body, headers)
            answer = connection.getresponse()
            found = orjson.loads(answer.read())
            assert not found["result"]["isError"], found
            return time.perf_counter() - began

        for _ in range(WARM_UP):
            call()
        before = web.cpu_times()
        seconds = [call() for _ in range(CALLS)]
        after = web.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return {
        "cpu_ms_per_call": round(1000 * spent / CALLS, 2),
        "p50_ms": round(1000 * statistics.median(seconds), 2),
    }
