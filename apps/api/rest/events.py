"""A run's journal as server-sent events: resumable by sequence number, without gap or duplicate.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_GET

from apps.api import live, problems
from apps.api.authentication import authenticate
from apps.api.rest.runs import EventSerializer
from apps.orchestration import selectors
from apps.orchestration.types import EventView
from octavo.kernel import ids, io
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

HEARTBEAT_SECONDS = 15.0
_BATCH = 200
_FINAL = frozenset({"run_succeeded", "run_failed", "run_cancelled", "run_quarantined"})
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Viewer:
    """Who reads which run, from where."""

    scope: Scope
    run_id: UUID
    after: int

    def events(self, after: int) -> list[EventView]:
        return selectors.list_events(
            scope=self.scope, run_id=self.run_id, after=after, limit=_BATCH
        )

    def is_over(self) -> bool:
        return selectors.get_run(scope=self.scope, run_id=self.run_id).status.is_final


@require_GET
async def stream_events(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """The stream; 204 when the run is over and nothing follows, so that a browser stops asking."""
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
    viewer = _Viewer(
        scope=authenticate(request),
        run_id=ids.decode(ids.Kind.RUN, run_id),
        after=_position(request),
    )
    is_over = viewer.is_over()
    return None if is_over and not viewer.events(viewer.after) else viewer


def _position(request: HttpRequest) -> int:
    given = request.headers.get("Last-Event-ID") or request.GET.get("after") or "0"
    if not (given.isascii() and given.isdigit() and len(given) <= 9):
        raise InvalidInput(
            f"Last-Event-ID is {given!r}; it must be the `id` of an event of this stream."
        )
    return int(given)


async def _stream(viewer: _Viewer) -> AsyncIterator[bytes]:
    hub, position, quiet_since = live.hub(), viewer.after, time.monotonic()
    async with hub.watch(viewer.run_id) as feed:
        grown = True
        while not hub.is_ending:
            events = await io.db(viewer.events, position) if grown else []
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
