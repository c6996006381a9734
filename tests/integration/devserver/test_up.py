"""`manage.py up` as an operator meets it: the real thing, in a data directory of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from octavo.devserver import cluster, ports
from octavo.devserver.postgres import postgres_address
from octavo.devserver.processes import ROOT, RunningProcess, child_environment, is_ready
from octavo.devserver.redis import redis_address, stop_redis

READY = "Ctrl-C stops everything"
DEADLINE = 120.0
OURS = ("DATABASE_URL", "OCTAVO_DATABASE_OWNER_URL", "REDIS_URL", "OCTAVO_MODEL_SERVER_URL")

type Up = Callable[[str], RunningProcess]


@pytest.fixture
def up(data_dir: Path, free_port: int) -> Iterator[Up]:
    """Start the platform; its output goes to a log of the given name. Nothing is left running."""
    settings = {"OCTAVO_DATA_DIR": str(data_dir), "OCTAVO_PORT": str(free_port)}
    environment = child_environment(settings)
    for name in OURS:
        environment.pop(name, None)
    started: list[RunningProcess] = []

    def start(name: str) -> RunningProcess:
        log = data_dir / f"{name}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        url = f"http://127.0.0.1:{free_port}"
        started.append(RunningProcess(name=name, popen=popen, log=log, url=url))
        return started[-1]

    yield start
    for process in started:
        if process.is_alive:
            process.kill()
    cluster.stop(postgres_address(data_dir).cluster)
    stop_redis(redis_address(data_dir))


def child_of(process: RunningProcess, word: str) -> psutil.Process:
    (found,) = (
        child for child in psutil.Process(process.pid).children() if word in child.cmdline()
    )
    return found


def test_everything_starts_survives_kills_and_stops_on_one_signal(up: Up, data_dir: Path) -> None:
    first = up("first")
    first.wait_until(lambda: first.logged(READY), timeout=DEADLINE)
    assert is_ready(f"{first.url}/readyz")
    assert re.search(r"API key +oct_\S+", first.log.read_text())
    assert (data_dir / "octavo.env").stat().st_mode & 0o777 == 0o600

    second = up("second")
    assert second.popen.wait(timeout=DEADLINE) == 1
    assert f"already runs in {data_dir} (pid {first.pid})" in second.log.read_text()

    child_of(first, "uvicorn").kill()
    first.wait_until(lambda: first.logged("web ended (SIGKILL)"), timeout=20)
    first.wait_until(lambda: is_ready(f"{first.url}/readyz"), timeout=DEADLINE)

    children = psutil.Process(first.pid).children()
    databases = [child for child in children if child.name() in {"postgres", "redis-server"}]
    os.kill(first.pid, signal.SIGKILL)
    first.popen.wait(timeout=10)
    others = [child for child in children if child not in databases]
    if sys.platform == "linux":
        assert not psutil.wait_procs(others, timeout=10)[1]

    third = up("third")
    third.wait_until(lambda: third.logged(READY), timeout=DEADLINE)
    assert "PostgreSQL was running" in third.log.read_text()
    assert "(created earlier)" in third.log.read_text()

    os.kill(third.pid, signal.SIGINT)
    assert third.popen.wait(timeout=60) == 0
    assert not is_ready(f"{third.url}/readyz")
    assert not cluster.running_pid(postgres_address(data_dir).cluster)


def test_a_port_in_use_is_told_with_who_uses_it(up: Up, free_port: int) -> None:
    code = f"import http.server as h; h.test(h.BaseHTTPRequestHandler, port={free_port})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            while ports.is_free("127.0.0.1", free_port):
                assert other.poll() is None
            process = up("up")
            assert process.popen.wait(timeout=30) == 1
            assert f"(pid {other.pid})" in process.log.read_text()
            assert "OCTAVO_PORT=" in process.log.read_text()
        finally:
            other.kill()
