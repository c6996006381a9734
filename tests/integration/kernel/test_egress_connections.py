"""No spelling, name or redirect leads a guarded client to an internal server."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from django.test import override_settings

from octavo.kernel import egress
from octavo.kernel.errors import InvalidInput

SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0",
    "localhost",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "127\u30020\u30020\u30021",  # ideographic full stops
    "\uff11\uff12\uff17.0.0.1",  # full-width digits
]


class Server:
    """An internal server that counts what reaches it, and redirects `/to?where=…`."""

    def __init__(self) -> None:
        self.port = 0
        self.reached: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.reached.append(request.path)
        if request.path == "/to":
            raise web.HTTPFound(request.query["where"])
        return web.Response(text="internal")


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


async def fetch(url: str, **query: str) -> str:
    async with (
        egress.session(timeout=5) as client,
        client.get(url, params=query) as response,
    ):
        return await response.text()


def run[T](coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


@pytest.mark.parametrize("host", SPELLINGS)
def test_an_internal_server_is_not_reached_by_any_spelling(host: str) -> None:
    async def attempt() -> list[str]:
        async with serving() as server:
            with pytest.raises((InvalidInput, OSError, ValueError)):
                await fetch(f"http://{host}:{server.port}/")
            return server.reached

    assert run(attempt()) == []


@pytest.mark.parametrize("host", SPELLINGS)
def test_a_redirect_does_not_lead_inside(host: str) -> None:
    async def attempt() -> list[str]:
        async with serving() as door, serving() as inside:
            with (
                override_settings(EGRESS_ALLOW=(f"127.0.0.1:{door.port}",)),
                pytest.raises((InvalidInput, OSError, ValueError)),
            ):
                await fetch(
                    f"http://127.0.0.1:{door.port}/to", where=f"http://{host}:{inside.port}/"
                )
            assert door.reached == ["/to"]
            return inside.reached

    assert run(attempt()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refusal_says_how_to_allow_the_host(host: str) -> None:
    async def attempt() -> None:
        async with serving() as server:
            await fetch(f"http://{host}:{server.port}/")

    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1.*OCTAVO_EGRESS_ALLOW"):
        run(attempt())


@pytest.mark.parametrize("rule", ["localhost", "localhost:{port}", "127.0.0.0/8"])
def test_a_listed_host_is_reached(rule: str) -> None:
    async def attempt() -> str:
        async with serving() as server:
            with override_settings(EGRESS_ALLOW=(rule.format(port=server.port),)):
                return await fetch(f"http://localhost:{server.port}/")

    assert run(attempt()) == "internal"


def test_a_listed_host_does_not_open_its_neighbours() -> None:
    async def attempt() -> list[str]:
        async with serving() as listed, serving() as other:
            with (
                override_settings(EGRESS_ALLOW=(f"localhost:{listed.port}",)),
                pytest.raises(InvalidInput),
            ):
                await fetch(f"http://localhost:{other.port}/")
            return other.reached

    assert run(attempt()) == []


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def attempt() -> list[str]:
        async with serving() as proxy:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
            with pytest.raises((InvalidInput, OSError)):
                await fetch("http://nowhere.invalid/")
            return proxy.reached

    assert run(attempt()) == []
