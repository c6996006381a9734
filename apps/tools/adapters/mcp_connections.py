"""Connections to upstream servers: one for each server and credential on each event loop, reused.

A task of its own enters and leaves each client, as the SDK's cancel scopes demand. It leaves when
it is told to, when the other end is gone, and when nobody has used it for a while.
"""

import asyncio
import atexit
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

from mcp.client import Client
from mcp.client import Transport as McpTransport
from mcp_types import Implementation

from apps.tools import definitions
from apps.tools.adapters import attempts, mcp_http, mcp_listing, mcp_stdio
from apps.tools.adapters.mcp_failures import CannotConnect, explain
from apps.tools.types import Transport, Upstream

_CONNECT_SECONDS = 60.0  # some servers install themselves when they start
_IDLE_SECONDS = 300.0
_FRESH_SECONDS = 60.0
_CLOSE_SECONDS = 8.0
_MOST = 100
_OURSELVES = Implementation(name="octavo", version="1")


class Connection:
    """A client and the task that owns it. `hashes` are the definitions the server shows now."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.users = 0
        self.hashes: Mapping[str, str] = {}
        self._process: mcp_stdio.Process | None = None
        self._listed_at = 0.0
        self._listing = asyncio.Lock()
        self._used_at = time.monotonic()
        self._end = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self._task = asyncio.create_task(self._live(), name=f"tool-server:{upstream.server}")

    @property
    def is_usable(self) -> bool:
        dead = self._process is not None and not self._process.is_alive
        return not (dead or self._end.is_set() or self._task.done())

    @property
    def is_idle(self) -> bool:
        return not self.users

    @property
    def used_at(self) -> float:
        return self._used_at

    @property
    def is_local(self) -> bool:
        return self.upstream.transport is Transport.STDIO

    @property
    def last_words(self) -> str:
        return self._process.last_words if self._process else ""

    async def client(self) -> Client:
        """The connected client. Raises `CannotConnect`."""
        return await asyncio.shield(self._ready)

    def touch(self) -> None:
        self._used_at = time.monotonic()

    def end(self) -> None:
        """Leave as soon as possible; calls under way fail."""
        self._end.set()

    async def closed(self) -> None:
        """Ends it and returns once it has left; what does not leave in time is cancelled."""
        self.end()
        await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)

    async def refresh(self) -> None:
        """Read the definitions again, unless that was just done. Raises `CannotConnect`."""
        async with self._listing:
            if self._listed_at and time.monotonic() - self._listed_at < _FRESH_SECONDS:
                return
            listed = await self.list_raw()
            self.hashes = {raw["name"]: definitions.hash_of(raw) for raw in reversed(listed)}
            self._listed_at = time.monotonic()

    async def list_raw(self) -> Sequence[Mapping[str, Any]]:
        """Every tool as the server writes it now. Raises `CannotConnect`."""
        client = await self.client()
        with attempts.follow() as attempt:
            try:
                return await mcp_listing.list_raw(client)
            except Exception as error:
                words = explain(self.upstream, error, attempt, said=self.last_words)
                raise CannotConnect(words) from error

    async def _live(self) -> None:
        with attempts.follow() as attempt:
            try:
                await self._connect_and_stay()
            except Exception as error:  # noqa: BLE001  the SDK raises many kinds, and groups of them
                self._fail(explain(self.upstream, error, attempt, said=self.last_words))
            finally:
                self.end()
                self._fail(f"The connection to tool server {self.upstream.server!r} was closed.")

    async def _connect_and_stay(self) -> None:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(_CONNECT_SECONDS):
                client = await self._open(stack)
            self._ready.set_result(client)
            await self._until_unused()

    def _fail(self, words: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(CannotConnect(words))

    async def _open(self, stack: AsyncExitStack) -> Client:
        transport: McpTransport
        if self.is_local:
            transport, self._process = await stack.enter_async_context(
                mcp_stdio.connect(self.upstream)
            )
        else:
            transport = await stack.enter_async_context(mcp_http.connect(self.upstream))
        client = Client(
            mcp_listing.Watched(transport, on_end=self.end),
            client_info=_OURSELVES,
            message_handler=self._on_message,
            cache=None,
        )
        return await stack.enter_async_context(client)

    async def _on_message(self, message: object) -> None:
        if mcp_listing.says_changed(message):
            self._listed_at = 0.0

    async def _until_unused(self) -> None:
        while not self._end.is_set():
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._end.wait()
            except TimeoutError:
                if self.is_idle and time.monotonic() - self._used_at >= _IDLE_SECONDS:
                    return


_tables: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Upstream, Connection]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def use(upstream: Upstream) -> AsyncIterator[Connection]:
    """The running loop's connection, made when there is none that works; others wait for it.

    Raises `CannotConnect`.
    """
    connection = _find(upstream)
    connection.users += 1
    try:
        await connection.client()
        yield connection
    finally:
        connection.users -= 1
        connection.touch()


@asynccontextmanager
async def use_once(upstream: Upstream) -> AsyncIterator[Connection]:
    """A connection of its own, closed afterwards."""
    connection = Connection(upstream)
    connection.users += 1
    try:
        await connection.client()
        yield connection
    finally:
        await connection.closed()


def _find(upstream: Upstream) -> Connection:
    table = _tables.setdefault(asyncio.get_running_loop(), {})
    found = table.get(upstream)
    if found is None or not found.is_usable:
        if found is not None:
            found.end()
        _make_room(table)
        found = table[upstream] = Connection(upstream)
    return found


def _make_room(table: dict[Upstream, Connection]) -> None:
    for upstream in [one for one, connection in table.items() if not connection.is_usable]:
        table.pop(upstream).end()
    idle = sorted((c for c in table.values() if c.is_idle), key=lambda c: c.used_at)
    if len(table) < _MOST:
        return
    if not idle:
        raise CannotConnect(f"All {_MOST} connections to tool servers are in use. Try again later.")
    table.pop(idle[0].upstream).end()


async def close() -> None:
    """Close the running loop's connections; calls under way on them fail."""
    table = _tables.pop(asyncio.get_running_loop(), {})
    await asyncio.gather(*(connection.closed() for connection in table.values()))


@atexit.register
def _close_at_exit() -> None:
    for loop in list(_tables):
        if loop.is_running():
            closing = asyncio.run_coroutine_threadsafe(close(), loop)
            with suppress(TimeoutError):
                closing.result(timeout=2 * _CLOSE_SECONDS)
