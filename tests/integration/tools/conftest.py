"""Real upstream servers: MCP over HTTP in both eras, and processes over stdio."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from octavo.devserver.ports import free_port
from octavo.devserver.processes import RunningProcess, child_environment, start_process
from tests.integration.api.conftest import Api, api, key, with_key

__all__ = ["Api", "api", "key", "with_key"]

ROOT = Path(__file__).resolve().parents[3]
PLAIN = ROOT / "tests" / "upstreams" / "stdio_server.py"


@dataclass(kw_only=True)
class HttpUpstream:
    """A server of `tests.upstreams.mcp_server` that several tests share."""

    folder: Path
    port: int
    process: RunningProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self, **environment: str) -> None:
        self.process = start_process(
            name="upstream",
            command=(sys.executable, "-m", "tests.upstreams.mcp_server", "--port", str(self.port)),
            environment=child_environment(
                {"UPSTREAM_FOLDER": str(self.folder), "PYTHONPATH": str(ROOT), **environment}
            ),
            log=self.folder / "log",
            url=f"http://127.0.0.1:{self.port}",
        )
        self.process.wait_until(self._answers, timeout=90)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()

    def show(self, **changes: Any) -> None:
        """Definitions as the server lists them from now on; None hides a tool."""
        (self.folder / "tools.json").write_text(json.dumps(changes))

    def lines(self, trail: str = "trail") -> list[str]:
        file = self.folder / trail
        return file.read_text().splitlines() if file.exists() else []

    def forget(self) -> None:
        for name in ("trail", "notes", "tools.json"):
            (self.folder / name).unlink(missing_ok=True)

    def _answers(self) -> bool:
        import socket

        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex(("127.0.0.1", self.port)) == 0


def _shared(folder: Path, **environment: str) -> Iterator[HttpUpstream]:
    server = HttpUpstream(folder=folder, port=free_port())
    server.start(**environment)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _modern(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpUpstream]:
    yield from _shared(tmp_path_factory.mktemp("modern"))


@pytest.fixture(scope="session")
def _legacy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpUpstream]:
    yield from _shared(tmp_path_factory.mktemp("legacy"), UPSTREAM_LEGACY="1")


@pytest.fixture
def modern(_modern: HttpUpstream) -> HttpUpstream:
    """Speaks MCP 2026-07-28."""
    _modern.forget()
    return _modern


@pytest.fixture
def legacy(_legacy: HttpUpstream) -> HttpUpstream:
    """Speaks MCP 2025-11-25 only, with sessions."""
    _legacy.forget()
    return _legacy


@pytest.fixture(autouse=True)
def _allowed(settings_of_egress: None) -> None:
    pass


@pytest.fixture
def settings_of_egress() -> Iterator[None]:
    """What an operator would allow: this machine, and this interpreter as a tool server."""
    from django.test import override_settings

    with override_settings(EGRESS_ALLOW=("127.0.0.1",), STDIO_COMMANDS=(sys.executable,)):
        yield


@pytest.fixture(autouse=True)
def _closed_connections() -> Iterator[None]:
    yield
    from apps.tools.services import connections
    from octavo.kernel import io

    io.call(connections.close(), timeout=30)


@pytest.fixture
def scope(installation: Any) -> Any:
    return installation.scope


@pytest.fixture
def call(scope: Any) -> Callable[..., Any]:
    """Call an upstream tool as the engine does: prepared in the database, sent on the I/O loop."""
    from apps.tools import selectors
    from apps.tools.services import calling
    from apps.tools.types import ToolContext
    from octavo.kernel import io

    def make(name: str, *, key: str = "k1", progress: Any = None, **arguments: Any) -> Any:
        tool = selectors.find_tool(scope=scope, name=name)
        assert tool is not None
        context = ToolContext(scope=scope, step="s1", idempotency_key=key, on_progress=progress)
        prepared = calling.prepare(context=context, tool=tool, arguments=arguments)
        return io.call(calling.send(prepared), timeout=120)

    return make


@pytest.fixture
def add(api: Any) -> Callable[..., Any]:
    """Add a server over REST, and approve its tools unless told not to."""

    def make(name: str, *, approve: bool = True, **fields: Any) -> Any:
        answer = api.post("tool-servers", {"name": name, **fields})
        assert answer.status == 201, answer.body
        if approve:
            done = api.post(f"tool-servers/{name}/approve-definitions", {"timeout_seconds": 60})
            assert done.status == 200, done.body
        return answer.body

    return make


@pytest.fixture
def plain(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The fields of a stdio server that starts at once."""

    def fields(mood: str = "", **env: str) -> dict[str, Any]:
        args = ["-S", str(PLAIN), str(tmp_path), *([mood] if mood else [])]
        return {"transport": "stdio", "command": sys.executable, "args": args, "env": env}

    return fields


def is_running(pid: int) -> bool:
    """Whether a process lives, zombies not counted."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
