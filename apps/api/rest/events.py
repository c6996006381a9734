"""A run's journal as server-sent events: resumable by sequence number, without gap or duplicate.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from apps.api import problems
from apps.api.authentication import authenticate, authenticate_again
from apps.api.rest.runs import EventSerializer
from apps.orchestration import selectors
from apps.orchestration.services import watching
from apps.orchestration.types.runs import EventView
from octavo.kernel import ids, io
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope

HEARTBEAT_SECONDS = 15.0
_BATCH = 200
_FINAL = frozenset({"run_succeeded", "run_failed", "run_cancelled", "run_quarantined"})
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Viewer:
    """Who reads which run, from where."""

    request: HttpRequest
    run_id: UUID
    after: int

    def events(self, scope: Scope) -> list[EventView]:
        return selectors.list_events(
            scope=scope, run_id=self.run_id, after=self.after, limit=_BATCH
        )

    def find_events(self, after: int) -> list[EventView] | None:
        """What follows `after`; None once the caller may no longer read it: asked every time."""
        try:
            scope = authenticate_again(self.request)
            return replace(self, after=after).events(scope)
        except OctavoError:
            return None


@csrf_exempt
async def stream_events(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """The stream; 204 when the run is over and nothing follows, so that a browser stops asking."""
    if request.method != "GET":
        return problems.not_allowed(request, "GET")
    try:
        viewer = await io.db(_open, request, run_id)
    except Exception as error:  # noqa: BLE001  every refusal becomes a problem
        return problems.of_exception(error).response()
    if viewer is None:
        return HttpResponse(status=204, headers=_HEADERS)
    return StreamingHttpResponse(
        _stream(viewer), content_type="text/event-stream; charset=utf-8", headers=_HEADERS
    )


def _open(request: HttpRequest, run_id: str) -> _Viewer | None:
    scope = authenticate(request)
    viewer = _Viewer(
        request=request, run_id=ids.decode(ids.Kind.RUN, run_id), after=_position(request)
    )
    is_over = selectors.get_run(scope=scope, run_id=viewer.run_id).status.is_final
    return None if is_over and not viewer.events(scope) else viewer


def _position(request: HttpRequest) -> int:
    given = request.headers.get("Last-Event-ID") or request.GET.get("after") or "0"
    if not (given.isascii() and given.isdigit() and len(given) <= 9):
        raise InvalidInput(
            f"Last-Event-ID is {given!r}; it must be the `id` of an event of this stream."
        )
    return int(given)


async def _stream(viewer: _Viewer) -> AsyncIterator[bytes]:
    """Ends without a word when the caller may no longer read: asking again tells them why."""
    hub, position, quiet_since = watching.hub(), viewer.after, time.monotonic()
    read_at = -math.inf
    async with hub.watch(viewer.run_id) as feed:
        grown = True
        while not hub.is_ending:
            events: list[EventView] | None = []
            if grown or time.monotonic() - read_at >= watching.SAFETY_POLL_SECONDS:
                events, read_at = await io.db(viewer.find_events, position), time.monotonic()
            if events is None:
                return
            for event in events:
                position, quiet_since = event.seq, time.monotonic()
                yield _frame(event)
            if events and events[-1].type in _FINAL:
                return
            if len(events) == _BATCH:
                continue
            grown, deltas = await feed.next(within=min(hub.poll_seconds, HEARTBEAT_SECONDS))
            for delta in deltas:
                quiet_since = time.monotonic()
                yield _delta_frame(delta)
            if time.monotonic() - quiet_since >= HEARTBEAT_SECONDS:
                quiet_since = time.monotonic()
                yield b": still here\n\n"


def _frame(event: EventView) -> bytes:
    data = orjson.dumps(EventSerializer(event).data)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, str(event.type).encode(), data)


def _delta_frame(message: dict[str, Any]) -> bytes:
    if "abandoned" in message:
        return b"event: abandoned\ndata: %s\n\n" % orjson.dumps({"step": message["abandoned"]})
    data = {"step": message.get("step"), "text": message.get("delta", "")}
    return b"event: delta\ndata: %s\n\n" % orjson.dumps(data)
