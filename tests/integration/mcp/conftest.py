"""A real server on a real socket, with the test tools registered, and the SDK's own client."""

import asyncio
import http.client
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import uvicorn

from octavo.devserver import ports
from octavo.devserver.processes import is_ready

NEW, OLD = "2026-07-28", "legacy"
ERAS = [pytest.param(NEW, id="2026-07-28"), pytest.param(OLD, id="2025-11-25")]
TASKS = "io.modelcontextprotocol/tasks"
_META = "io.modelcontextprotocol/"


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


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
        async with create_mcp_http_client(headers=headers) as web:
            transport = streamable_http_client(self.url, http_client=web)
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
            async with asyncio.timeout(90), self.connect(era, key=key, **options) as client:
                return await conversation(client)

        return asyncio.run(hold())

    def call(self, tool: str, arguments: Any = None, era: str = NEW, **options: Any) -> Any:
        """The result of one call."""
        return self.talk(lambda client: client.call_tool(tool, arguments or {}), era, **options)

    def names(self, era: str = NEW, *, key: str = "") -> list[str]:
        listed = self.talk(lambda client: client.list_tools(), era, key=key)
        return [tool.name for tool in listed.tools]

    def send(self, body: bytes = b"{}", *, method: str = "POST", **headers: str) -> Reply:
        """Plain HTTP; a header of "" is left out."""
        address = urlsplit(self.url)
        sent = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection(address.netloc, timeout=60)) as connection:
            connection.putrequest(method, "/mcp", skip_host="Host" in sent)
            for name, value in sent.items():
                if value:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(status=answer.status, headers=found, body=answer.read())

    def ask(self, method: str, *, tasks: bool = True, key: str = "", **params: Any) -> Any:
        """One request of the newest era, as it lies on the wire; the JSON-RPC answer."""
        capabilities: dict[str, Any] = {"extensions": {TASKS: {}}} if tasks else {}
        meta = {f"{_META}protocolVersion": NEW, f"{_META}clientCapabilities": capabilities}
        name = params.get("name") or params.get("taskId") or params.get("uri") or ""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        headers = {"MCP_Protocol_Version": NEW, "Mcp_Method": method, "Mcp_Name": name}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return self.send(orjson.dumps(body), **headers).json()


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
    deadline = time.monotonic() + 60
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


@pytest.fixture
def embedding(bench: Any) -> Iterator[None]:
    """The route `embedding`, without which nothing can be written into a space."""
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, ProviderKind
    from tests.integration.inference.upstream import running

    scope, kind = bench.scope, ModelKind.EMBEDDING
    with running() as upstream:
        services.create_provider(
            scope=scope, name="lab", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=upstream.url
        )
        services.add_model(scope=scope, provider="lab", name="embed", kind=kind, dimensions=2)
        services.set_route(scope=scope, name="embedding", kind=kind, targets=[("lab", "embed")])
        yield


@pytest.fixture
def admin(installation: Any) -> Any:
    """The scope of the person who holds the first key, as the console has it."""
    from apps.accounts.services import authenticate_key

    return authenticate_key(secret=installation.issued_key.secret)


@pytest.fixture
def new_key(admin: Any) -> Callable[..., str]:
    """The secret of a further key: of the admin, or of a new service with that role."""
    from apps.accounts import services
    from apps.accounts.types import Role

    def issue(*scopes: str, service: str = "") -> str:
        owner = None
        if service:
            owner = services.create_service(scope=admin, name=service, role=Role.MEMBER)
        issued = services.issue_key(
            scope=admin, name="further", principal=owner, scopes=scopes or ("*",)
        )
        return issued.secret

    return issue


@pytest.fixture
def worker() -> Iterator[None]:
    """Takes queued runs on and tells them what was decided, in this process."""
    from django.db import connections

    from apps.orchestration.models import Run
    from apps.orchestration.services import engine, upkeep

    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            upkeep.redeliver_approvals()
            for run_id in Run.objects.filter(status="ready").values_list("id", flat=True):
                engine.advance(run_id=str(run_id))
            connections.close_all()

    thread = threading.Thread(target=work, name="test-worker")
    thread.start()
    yield
    stop.set()
    thread.join(20)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a person."""
    from django.conf import settings

    monkeypatch.setattr(settings, "MCP_WAIT_SECONDS", 0)
