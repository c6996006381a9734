"""Seconds from `manage.py up` to the first answered question, and memory at rest.

    pytest tests/benchmarks/bench_footprint.py -m benchmark -s

Starts twice in a data directory of its own; memory is the proportional set size (PSS), which counts
a shared page once however many processes map it.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from octavo.devserver import ports
from octavo.devserver.postgres import postgres_address
from octavo.devserver.processes import ROOT, RunningProcess, child_environment
from octavo.devserver.redis import redis_address

pytestmark = pytest.mark.benchmark

KEY = "oct_" + "benchmark-" * 5
REST_SECONDS = 20.0  # the allocator gives back, caches settle
OURS = ("DATABASE_URL", "OCTAVO_DATABASE_OWNER_URL", "REDIS_URL", "OCTAVO_MODEL_SERVER_URL")


def test_footprint(tmp_path: Path) -> None:
    data = tmp_path / "data"
    tmp_path.chmod(0o711)
    data.mkdir(mode=0o711)
    first, _ = _measure(data)
    second, memory = _measure(data)
    rest = sum(memory.values()) - memory["model server"]
    report = {
        "first_answer_after_seconds": {"first_start": first, "second_start": second},
        "idle_pss_mb": {**{name: round(size) for name, size in sorted(memory.items())}},
        "idle_pss_mb_without_model_server": round(rest),
    }
    print(json.dumps(report, indent=2))  # noqa: T201  the benchmark's output


def _measure(data: Path) -> tuple[float, Counter[str]]:
    began = time.monotonic()
    with _up(data) as process:
        process.wait_until(lambda: _answers(process.url), timeout=300)
        seconds = round(time.monotonic() - began, 1)
        time.sleep(REST_SECONDS)
        return seconds, _memory(process.pid, data)


@contextmanager
def _up(data: Path) -> Iterator[RunningProcess]:
    port = ports.free_port()
    environment = child_environment(
        {"OCTAVO_DATA_DIR": str(data), "OCTAVO_PORT": str(port), "OCTAVO_BOOTSTRAP_API_KEY": KEY}
    )
    for name in OURS:
        environment.pop(name, None)
    log = data / "up.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process = RunningProcess(name="up", popen=popen, log=log, url=f"http://127.0.0.1:{port}")
    try:
        yield process
    finally:
        process.stop(grace=60)


def _answers(url: str) -> bool:
    body = {"agent": "guide", "input": "How do I add my own files?", "wait_seconds": 60}
    request = urllib.request.Request(
        f"{url}/api/v1/runs",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=70) as response:
            return json.load(response)["status"] == "succeeded"
    except OSError:
        return False


def _memory(supervisor: int, data: Path) -> Counter[str]:
    """Megabytes by kind of process; PostgreSQL and Redis live outside the supervisor's tree."""
    with (postgres_address(data).cluster / "postmaster.pid").open() as file:
        postgres = int(file.readline())
    found: Counter[str] = Counter()
    for process in _tree(postgres):
        found["postgresql"] += _pss(process)
    found["redis"] = _pss(_redis(redis_address(data).port))
    for process in _tree(supervisor):
        found[_name(process)] += _pss(process)
    return found


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _redis(port: int) -> psutil.Process:
    return next(
        psutil.Process(c.pid)
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid
    )


def _name(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    known = {
        "apps.inference.builtin": "model server",
        "uvicorn": "web",
        "ingest@": "ingest worker",
        "runs@": "worker",
        "octavo.devserver": "supervisor",
    }
    return next((name for word, name in known.items() if word in line), "other")


def _pss(process: psutil.Process) -> float:
    return process.memory_full_info().pss / 2**20
