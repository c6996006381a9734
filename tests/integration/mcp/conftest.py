"""A real server on a real socket, with the test tools registered, and the SDK's own client."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from octavo.devserver import ports
from octavo.devserver.processes import is_ready

NEW, OLD = "2026-07-28", "legacy"
ERAS = [pytest.param(NEW, id="2026-07-28"), pytest.param(OLD, id="2025-11-25")]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The address of `/mcp`, and the key that `bench` made."""

    url: str
    key: str

    @asynccontextmanager
    async def connect(self, era: str = NEW, *, key: str = "", **options: Any) -> AsyncIterator[Any]:
        """The SDK's client; `options` are its own."""
        from mcp.client.client import Client
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client

        headers = {"Authorization": f"Bearer {key or self.key}"}
        async with create_mcp_http_client(headers=headers) as http:
            transport = streamable_http_client(self.url, http_client=http)
            async with Client(transport, mode=era, **options) as client:
                yield client

    def talk[T](
        self,
        conversation: Callable[[Any], Awaitable[T]],
        era: str = NEW,
        *,
        key: str = "",
        **options: Any,
    ) -> T:
        """Connect, hold the conversation, leave."""

        async def hold() -> T:
            async with asyncio.timeout(60), self.connect(era, key=key, **options) as client:
                return await conversation(client)

        return asyncio.run(hold())

    def call(self, tool: str, arguments: Any = None, era: str = NEW, **options: Any) -> Any:
        """The result of one call."""
        return self.talk(lambda client: client.call_tool(tool, arguments or {}), era, **options)


@pytest.fixture(scope="session")
def _server(postgres: Any, redis_url: str) -> Iterator[str]:
    from octavo.asgi import application

    port = ports.free_port()
    config = uvicorn.Config(
        application, host="127.0.0.1", port=port, log_level="warning", ws="none", loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="mcp-under-test")
    thread.start()
    deadline = time.monotonic() + 30
    while not is_ready(f"http://127.0.0.1:{port}/healthz"):
        assert time.monotonic() < deadline
    yield f"http://127.0.0.1:{port}/mcp"
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def bench(installation: Any, db: Any, tmp_path: Path) -> Iterator[Any]:
    from tests.runs import bench_on

    yield from bench_on(installation.scope, db.superuser_url, tmp_path)


@pytest.fixture
def mcp(_server: str, bench: Any, installation: Any) -> Endpoint:
    return Endpoint(url=_server, key=installation.issued_key.secret)
