"""Waits for a run on the process's one Redis subscription; no client that waits holds a database
connection.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from apps.api.mcp.progress import Progress
from apps.orchestration import selectors
from apps.orchestration.services import watching
from apps.orchestration.types.runs import EventType, EventView, RunView
from octavo.kernel import io
from octavo.kernel.scope import Scope

_BATCH = 200
_REMIND_SECONDS = 10.0  # of progress, so that the client's clock starts anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """`until` ends the wait; `patience` is how long this stand of the run is waited out."""

    scope: Scope
    run_id: UUID
    until: Callable[[RunView], bool]
    patience: Callable[[RunView], float]
    progress: Progress


async def follow(wait: Wait) -> RunView:
    """The run once `until` holds, patience ends or the process stops; its journal is told on the
    way.
    """
    hub = watching.hub()
    began, stand, seen, told_at = time.monotonic(), "", 0, time.monotonic()
    async with hub.watch(wait.run_id) as feed:
        while True:
            run, events = await io.db(_read, wait, seen)
            for event in events:
                seen, told_at = event.seq, time.monotonic()
                await wait.progress.say(_told(event))
            if (standing := _stand(run)) != stand:
                began, stand = time.monotonic(), standing
            left = began + wait.patience(run) - time.monotonic()
            if wait.until(run) or hub.is_ending or left <= 0:
                return run
            if time.monotonic() - told_at >= _REMIND_SECONDS:
                told_at = time.monotonic()
                await wait.progress.say(_still(run))
            await _grown(feed, min(left, hub.poll_seconds))


def is_stopping() -> bool:
    """Whether the process was told to stop, so that clients leave without meaning to cancel."""
    return watching.hub().is_ending


async def _grown(feed: watching.Feed, seconds: float) -> None:
    """Returns when the journal has grown, or after `seconds`; a model's words do not count."""
    ends_at = time.monotonic() + seconds
    grown = False
    while not grown and (left := ends_at - time.monotonic()) > 0:
        grown, _ = await feed.next(within=left)


def read_run(scope: Scope, run_id: UUID) -> RunView:
    """A run may always be read by whoever waits for it: the request that began it asked."""
    return selectors.get_run(scope=replace(scope, run_id=run_id), run_id=run_id)


def _read(wait: Wait, seen: int) -> tuple[RunView, list[EventView]]:
    own = replace(wait.scope, run_id=wait.run_id)
    run = selectors.get_run(scope=own, run_id=wait.run_id)
    if not wait.progress.is_wanted:
        return run, []
    return run, selectors.list_events(scope=own, run_id=run.id, after=seen, limit=_BATCH)


def _stand(run: RunView) -> str:
    return f"{run.status}:{run.waiting_on.id if run.waiting_on else ''}"


def _still(run: RunView) -> str:
    return f"Still {run.status}." if run.waiting_on is None else f"Waiting: {run.waiting_on.kind}."


def _told(event: EventView) -> str:
    """One journal event in a few words, none of them secret to whoever may wait for the run."""
    data = event.data
    match event.type:
        case EventType.CONTEXT_RETRIEVED:
            return f"Read {len(data['sources'])} passages."
        case EventType.MODEL_ANSWERED:
            calls = data["message"].get("tool_calls") or ()
            return f"Chose {len(calls)} tool calls." if calls else "Wrote an answer."
        case EventType.TOOL_INTENDED | EventType.TOOL_ANSWERED:
            verb = "Calls" if event.type is EventType.TOOL_INTENDED else "Called"
            return f"{verb} {data['tool']}."
        case EventType.APPROVAL_REQUESTED:
            return f"Waits for a person to approve {data['tool']} ({data['approval']})."
        case _:
            return f"{event.type.replace('_', ' ').capitalize()}."
