"""One Redis subscription per process tells everybody who watches a run that its journal has grown.

What is missed here is found by polling, so a dead Redis makes a stream slower and never wrong.
Nobody who waits here holds a database connection.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
import redis.asyncio as redis
from django.conf import settings
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from apps.orchestration.types.runs import EVENTS_CHANNEL

POLL_SECONDS = 1.0  # while Redis is down
SAFETY_POLL_SECONDS = 5.0  # while it is up
_MAX_DELTAS = 2000
_RECONNECT_SECONDS = 1.0
log = logging.getLogger(__name__)


class Feed:
    """What one viewer has not read yet: whether the journal grew, and text that a model is
    writing.
    """

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._grown = False
        self._deltas: deque[dict[str, Any]] = deque(maxlen=_MAX_DELTAS)

    def push(self, message: dict[str, Any]) -> None:
        if "seq" in message:
            self._grown = True
        else:
            self._deltas.append(message)
        self._arrived.set()

    async def next(self, *, within: float) -> tuple[bool, list[dict[str, Any]]]:
        """Whether to read the journal, and the deltas since the last call. Silence means: read
        it.
        """
        try:
            async with asyncio.timeout(within):
                await self._arrived.wait()
        except TimeoutError:
            return True, []
        grown, deltas = self._grown, list(self._deltas)
        self._arrived.clear()
        self._deltas.clear()
        self._grown = False
        return grown, deltas


class Hub:
    """The feeds of one event loop behind one Redis connection, made when the first viewer comes."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(
            url, socket_connect_timeout=2, health_check_interval=30, retry=Retry(NoBackoff(), 0)
        )
        self._pubsub: PubSub | None = None
        self._feeds: dict[str, set[Feed]] = {}
        self._confirmed: dict[str, asyncio.Event] = {}
        self._reader: asyncio.Task[None] | None = None
        self.is_ending = False

    @property
    def poll_seconds(self) -> float:
        return POLL_SECONDS if self._pubsub is None else SAFETY_POLL_SECONDS

    @asynccontextmanager
    async def watch(self, run_id: UUID) -> AsyncIterator[Feed]:
        """A feed that misses nothing published from now on, as long as Redis is up."""
        channel, feed = EVENTS_CHANNEL.format(run_id=run_id), Feed()
        try:
            await self._join(channel, feed)
            yield feed
        finally:
            await self._leave(channel, feed)

    async def _join(self, channel: str, feed: Feed) -> None:
        feeds = self._feeds.setdefault(channel, set())
        feeds.add(feed)
        if len(feeds) == 1:
            self._confirmed[channel] = asyncio.Event()
            await self._send("subscribe", channel)
        if self._reader is None:
            self._reader = asyncio.create_task(self._keep_reading(), name="octavo-live")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._confirmed[channel].wait()

    async def _leave(self, channel: str, feed: Feed) -> None:
        feeds = self._feeds.get(channel, set())
        feeds.discard(feed)
        if not feeds:
            self._feeds.pop(channel, None)
            self._confirmed.pop(channel, None)
            await self._send("unsubscribe", channel)

    async def _send(self, command: str, channel: str) -> None:
        """Without a connection there is nothing to send: the next one subscribes to every feed."""
        if self._pubsub is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                await getattr(self._pubsub, command)(channel)

    async def _keep_reading(self) -> None:
        is_news = True
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await self._subscribe_all(pubsub)
                    is_news = True
                    await self._read(pubsub)
            except (redis.RedisError, OSError) as error:
                if is_news:
                    log.warning("Redis is away (%s); live streams poll until it is back.", error)
                is_news = False
            finally:
                self._pubsub = None
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _subscribe_all(self, pubsub: PubSub) -> None:
        sent: set[str] = set()
        while missing := self._feeds.keys() - sent:
            await pubsub.subscribe(*missing)
            sent |= missing
        self._pubsub = pubsub

    async def _read(self, pubsub: PubSub) -> None:
        while True:
            message = await pubsub.get_message(timeout=SAFETY_POLL_SECONDS)
            if message is not None:
                self._deliver(message)
            elif not pubsub.subscribed:
                await asyncio.sleep(0)

    def _deliver(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        if message["type"] == "subscribe":
            if channel in self._confirmed:
                self._confirmed[channel].set()
            self._tell(channel, {"seq": 0})  # read once more: something may have been missed
        elif message["type"] == "message":
            self._tell(channel, orjson.loads(message["data"]))

    def _tell(self, channel: str, message: dict[str, Any]) -> None:
        for feed in self._feeds.get(channel, ()):
            feed.push(message)

    def end(self) -> None:
        """Tell every viewer to leave: the process stops."""
        self.is_ending = True
        for channel in list(self._feeds):
            self._tell(channel, {"seq": 0})

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        await self._client.aclose()


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def hub() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub(settings.REDIS_URL)
    return _hubs[loop]


def end_streams() -> None:
    """Called on the loop when the process is told to stop."""
    if asyncio.get_running_loop() in _hubs:
        hub().end()


async def close() -> None:
    """Close the running loop's hub; the next viewer makes a new one."""
    found = _hubs.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()
