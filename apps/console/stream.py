"""A run's page as server-sent events: each is the drawn page with the journal's `seq` as its `id`.

One drawing serves everybody with the same rights, whatever their number; nobody who waits holds a
database connection. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from apps.console import picturing, web
from apps.console.picturing import Picture, Rights
from apps.orchestration.services import watching
from octavo.kernel import ids, io
from octavo.kernel.errors import NotFound, OctavoError
from octavo.kernel.scope import Scope

HEARTBEAT_SECONDS = 15.0
RECHECK_SECONDS = 5.0
_APART_SECONDS = 0.25  # each drawing reads the whole journal: not more often than this
_KEPT = 128
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(slots=True)
class _Easel:
    """The newest drawing of one run for one set of rights, and when it was begun."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    picture: Picture | None = None
    begun: float = -math.inf


@dataclass(slots=True, kw_only=True)
class _Viewer:
    request: HttpRequest
    scope: Scope
    run_id: UUID
    rights: Rights
    checked_at: float = field(default_factory=time.monotonic)

    async def may_go_on(self) -> bool:
        """Asked again every few seconds."""
        if time.monotonic() - self.checked_at < RECHECK_SECONDS:
            return True
        self.checked_at = time.monotonic()
        return await io.db(self._may_still_look)

    def _may_still_look(self) -> bool:
        """A session that ended or a role that was taken away ends the stream."""
        try:
            session = self.request.session
            is_known = session.session_key and session.exists(session.session_key)
            scope = web.scope_of(self.request)
            return bool(is_known) and picturing.rights_of(scope) == self.rights
        except OctavoError:
            return False


_easels: OrderedDict[tuple[UUID, Rights], _Easel] = OrderedDict()


async def stream_run(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """The stream; 204 when the run is over and nothing follows, so that a browser stops asking."""
    try:
        viewer = await io.db(_open, request, run_id)
    except OctavoError as refusal:
        return HttpResponse(refusal.detail, status=refusal.status, content_type="text/plain")
    after = _position(request)
    picture = await _picture(viewer, since=time.monotonic())
    if picture.is_final and picture.seq <= after:
        return HttpResponse(status=204, headers=_HEADERS)
    return StreamingHttpResponse(
        _stream(viewer, after), content_type="text/event-stream; charset=utf-8", headers=_HEADERS
    )


def _open(request: HttpRequest, run_id: str) -> _Viewer:
    if not request.user.is_authenticated:
        raise NotFound("Sign in to watch a run.")
    scope = web.scope_of(request)
    return _Viewer(
        request=request,
        scope=scope,
        run_id=ids.decode(ids.Kind.RUN, run_id),
        rights=picturing.rights_of(scope),
    )


def _position(request: HttpRequest) -> int:
    given = request.headers.get("Last-Event-ID") or request.GET.get("after") or "0"
    return int(given) if given.isascii() and given.isdigit() and len(given) <= 9 else 0


async def _picture(viewer: _Viewer, *, since: float) -> Picture:
    """A drawing begun at or after `since`: the first who asks draws, the others wait for it."""
    key = (viewer.run_id, viewer.rights)
    easel = _easels.setdefault(key, _Easel())
    _easels.move_to_end(key)
    while len(_easels) > _KEPT:
        _easels.popitem(last=False)
    async with easel.lock:
        if easel.picture is None or easel.begun < since:
            await asyncio.sleep(easel.begun + _APART_SECONDS - time.monotonic())
            begun = time.monotonic()
            easel.picture = await io.db(picturing.draw, viewer.scope, viewer.run_id, viewer.rights)
            easel.begun = begun
        return easel.picture


async def _stream(viewer: _Viewer, after: int) -> AsyncIterator[bytes]:
    """Ends without a word when the viewer may no longer look: asking again tells them why."""
    hub, shown = watching.hub(), (after, "")
    quiet_since = time.monotonic()
    async with hub.watch(viewer.run_id) as feed:
        fresh = time.monotonic()
        yield b"retry: 1500\n\n"
        while not hub.is_ending:
            if not await viewer.may_go_on():
                return
            picture = await _picture(viewer, since=fresh)
            if picture.seq > shown[0] or shown[1] not in {"", picture.state}:
                quiet_since = time.monotonic()
                yield _frame(picture, viewer.request)
            shown = (picture.seq, picture.state)
            if picture.is_final:
                return
            async for words in _words(feed, hub.poll_seconds):
                quiet_since = time.monotonic()
                yield words
            is_quiet = time.monotonic() - quiet_since >= HEARTBEAT_SECONDS
            fresh = time.monotonic() - (watching.SAFETY_POLL_SECONDS if is_quiet else 0)
            if is_quiet:
                quiet_since = time.monotonic()
                yield b": still here\n\n"


async def _words(feed: watching.Feed, within: float) -> AsyncIterator[bytes]:
    """What the model writes, until the journal has grown or `within` seconds were silent."""
    grown = False
    while not grown:
        grown, deltas = await feed.next(within=within)
        for delta in deltas:
            yield _delta_frame(delta)


def _frame(picture: Picture, request: HttpRequest) -> bytes:
    lines = picture.html_for(request).splitlines()
    data = "".join(f"data: {line}\n" for line in lines)
    return f"id: {picture.seq}\nevent: picture\n{data}\n".encode()


def _delta_frame(message: dict[str, Any]) -> bytes:
    if "abandoned" in message:
        return b"event: abandoned\ndata: %s\n\n" % orjson.dumps({"step": message["abandoned"]})
    data = {"step": message.get("step"), "text": message.get("delta", "")}
    return b"event: delta\ndata: %s\n\n" % orjson.dumps(data)
