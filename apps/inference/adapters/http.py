"""One client session for each event loop, so that connections to providers are reused.

A credential goes to the address that was configured, or nowhere: callers follow no redirects, and
no name leads to where clouds keep their machines' credentials.
"""

import asyncio
import atexit
import socket
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from octavo.kernel import egress

_CONNECT_SECONDS = 5.0
_LONGEST_CALL = 900.0  # a backstop: callers bound each call themselves
_KEEP_ALIVE = 30.0

_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()


class _Resolver(ThreadedResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        for result in found:
            if egress.is_metadata(result["host"]):
                raise OSError(f"{host} leads to {result['host']}, where no model is served")
        return found


def session() -> aiohttp.ClientSession:
    """The running loop's session."""
    loop = asyncio.get_running_loop()
    found = _sessions.get(loop)
    if found is None or found.closed:
        found = _sessions[loop] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_ALIVE, resolver=_Resolver()
            ),
            timeout=aiohttp.ClientTimeout(total=_LONGEST_CALL, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "octavo"},
            trust_env=False,
        )
    return found


async def read(response: aiohttp.ClientResponse, *, limit: int, cut: bool = False) -> bytes:
    """The body; of one larger than `limit` its beginning if `cut`, else `ClientPayloadError`."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            if cut:
                break
            raise aiohttp.ClientPayloadError(f"it is larger than {limit // 2**20} MiB")
    return b"".join(parts)


async def close() -> None:
    """Close the running loop's session, if it has one."""
    found = _sessions.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()


@atexit.register
def _close_at_exit() -> None:
    for loop in list(_sessions):
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(close(), loop).result(timeout=2)
