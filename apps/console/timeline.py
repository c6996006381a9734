"""A run's journal as rows on a time axis: one row a step, waits hatched, idle time compressed.

Positions are percent of the width, so that the axis is the same at every zoom and window size.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from apps.console import formatting
from apps.observability.types import SpanKind
from apps.orchestration.types.runs import EventType, EventView, RunStatus, RunView
from octavo.kernel import clock

_TICKS = 6
_LONG_IDLE = 0.6
_IDLE_SHARE = 0.45
_NARROWEST = 0.7
_FIRST = timedelta(milliseconds=1)
_ENDS = {EventType.INPUT_RECEIVED: "answered", EventType.RUN_RESUMED: "resumed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `anchor` names it in addresses, `ended_at` is None while it lasts.

    `is_wait`: nobody works; the bar is hatched.
    """

    anchor: str
    step: str
    kind: SpanKind
    name: str
    note: str
    started_at: datetime
    ended_at: datetime | None
    depth: int = 1
    is_wait: bool = False
    is_error: bool = False
    inherited: bool = False
    left: str = "0"
    width: str = "0"
    took: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    rows: tuple[Row, ...]
    ticks: tuple[str, ...]


def draw(run: RunView, events: Sequence[EventView]) -> Timeline:
    """The root row, then the steps in the order in which they began."""
    end = run.finished_at or clock.now()
    steps = sorted(_collect(run, events).values(), key=lambda row: row.started_at)
    rows = [_root(run), *steps]
    axis = Axis(start=run.created_at, end=max(end, run.created_at + _FIRST), rows=steps)
    placed = tuple(_place(row, axis, end) for row in rows)
    return Timeline(rows=placed, ticks=axis.ticks(is_open=run.finished_at is None))


class Axis:
    """Maps moments to percent. Idle time that would fill most of the width is given less of it."""

    def __init__(self, *, start: datetime, end: datetime, rows: Sequence[Row]) -> None:
        self._marks, self._idle = _segments(start, end, rows)
        whole = (end - start).total_seconds()
        lengths = [
            (after - before).total_seconds()
            for before, after in zip(self._marks, self._marks[1:], strict=False)
        ]
        idle = sum(s for s, waits in zip(lengths, self._idle, strict=True) if waits)
        busy = whole - idle
        idle_scale = busy_scale = 100 / whole
        if busy > 0 and idle / whole > _LONG_IDLE:
            idle_scale, busy_scale = _IDLE_SHARE * 100 / idle, (1 - _IDLE_SHARE) * 100 / busy
        self._places = [0.0]
        for length, waits in zip(lengths, self._idle, strict=True):
            self._places.append(self._places[-1] + length * (idle_scale if waits else busy_scale))

    def place(self, moment: datetime) -> float:
        """Percent of the width, 0 to 100."""
        if moment <= self._marks[0]:
            return 0.0
        if moment >= self._marks[-1]:
            return 100.0
        index = bisect_right(self._marks, moment) - 1
        before, after = self._marks[index], self._marks[index + 1]
        part = (moment - before) / (after - before)
        return self._places[index] + part * (self._places[index + 1] - self._places[index])

    def ticks(self, *, is_open: bool) -> tuple[str, ...]:
        """What the clock shows at equal distances; the last one is `now` while the run lasts."""
        shown = [
            formatting.tick(self._moment(100 * part / _TICKS) - self._marks[0])
            for part in range(_TICKS + 1)
        ]
        return (*shown[:-1], "now" if is_open else shown[-1])

    def _moment(self, percent: float) -> datetime:
        index = min(bisect_right(self._places, percent), len(self._places) - 1) - 1
        width = self._places[index + 1] - self._places[index]
        part = (percent - self._places[index]) / width if width else 0.0
        return self._marks[index] + (self._marks[index + 1] - self._marks[index]) * part


def _segments(
    start: datetime, end: datetime, rows: Sequence[Row]
) -> tuple[list[datetime], list[bool]]:
    """Moments in order, and for each stretch between two of them whether nobody worked."""
    marks, idle, reached = [start], [], start
    for row in rows:
        if row.is_wait:
            continue
        begin, stop = max(row.started_at, reached), min(row.ended_at or end, end)
        if stop <= reached:
            continue
        if begin > reached:
            marks.append(begin)
            idle.append(True)
        marks.append(stop)
        idle.append(False)
        reached = stop
    if reached < end:
        marks.append(end)
        idle.append(True)
    return marks, idle


def _place(row: Row, axis: Axis, end: datetime) -> Row:
    stop = row.ended_at or end
    left = min(axis.place(row.started_at), 100 - _NARROWEST)
    width = max(min(axis.place(stop), 100) - left, _NARROWEST)
    return replace(
        row,
        left=f"{left:.2f}",
        width=f"{width:.2f}",
        took=formatting.duration(stop - row.started_at),
    )


def _root(run: RunView) -> Row:
    failed = run.status in {RunStatus.FAILED, RunStatus.QUARANTINED}
    return Row(
        anchor="s1",
        step="",
        kind=SpanKind.TOOL if run.tool else SpanKind.AGENT,
        name=run.subject,
        note="one call" if run.tool else f"v{run.version}",
        started_at=run.created_at,
        ended_at=run.finished_at,
        depth=0,
        is_error=failed,
    )


def _collect(run: RunView, events: Sequence[EventView]) -> dict[str, Row]:
    """Rows by anchor. A tool's row begins with its intent; a person's ends with their answer."""
    rows: dict[str, Row] = {}
    opened: dict[str, str] = {}
    parked: dict[str, str] = {}  # steps that the engine carries out: one row until their answer
    for event in events:
        match event.type:
            case EventType.CONTEXT_RETRIEVED | EventType.MODEL_ANSWERED | EventType.MODEL_FAILED:
                _add(rows, _step(event))
            case EventType.TOOL_INTENDED:
                opened[event.step] = _add(rows, _open_tool(event))
            case EventType.CHILD_STARTED | EventType.HANDED_OFF | EventType.TIMER_STARTED:
                parked[event.step] = _add(rows, _parked(event))
            case EventType.CHILD_FINISHED:
                _close(rows, parked[event.step], event)
            case EventType.TOOL_ANSWERED if event.step in parked:
                _end(rows, parked[event.step], event)
            case EventType.TOOL_ANSWERED:
                anchor = opened.pop(event.step, f"s{event.seq}")
                rows[anchor] = replace(_tool(event), anchor=anchor)
            case EventType.TOOL_FAILED if event.step in opened:
                anchor = opened.pop(event.step)
                rows[anchor] = replace(_failed(event), anchor=anchor)
            case EventType.TOOL_FAILED:
                _add(rows, _failed(event))
            case EventType.NOTE | EventType.SIGNAL_RECEIVED:
                _add(rows, _told(event) if event.type is EventType.NOTE else _signal(event))
            case EventType.RUN_PAUSED:
                opened["paused?"] = _add(rows, _paused(event))
            case EventType.RUN_RESUMED:
                _close(rows, opened.pop("paused?", ""), event)
            case EventType.INPUT_REQUESTED:
                opened[f"{event.step}?"] = parked[event.step] = _add(rows, _question(event))
            case EventType.APPROVAL_REQUESTED | EventType.EFFECT_UNKNOWN:
                for row in _asked(event):
                    opened[f"{event.step}?"] = _add(rows, row)
            case EventType.APPROVAL_DECIDED | EventType.EFFECT_RESOLVED | EventType.INPUT_RECEIVED:
                _close(rows, opened.pop(f"{event.step}?", ""), event)
    if run.status is RunStatus.RUNNING and not opened:
        _add(rows, _working(events))
    return _ended(run, events, rows)


def _ended(run: RunView, events: Sequence[EventView], rows: Mapping[str, Row]) -> dict[str, Row]:
    """A row lasts no longer than its run; those that a fork took over are marked."""
    taken = {f"s{event.seq}" for event in events if event.inherited}
    return {
        anchor: replace(row, ended_at=row.ended_at or run.finished_at, inherited=anchor in taken)
        for anchor, row in rows.items()
    }


def _add(rows: dict[str, Row], row: Row) -> str:
    rows[row.anchor] = row
    return row.anchor


def _step(event: EventView) -> Row:
    is_context = event.type is EventType.CONTEXT_RETRIEVED
    failed = event.type is EventType.MODEL_FAILED
    return Row(
        anchor=f"s{event.seq}",
        step=event.step,
        kind=SpanKind.CONTEXT if is_context else SpanKind.MODEL,
        name=_name(event),
        note=_note(event),
        started_at=event.started_at,
        ended_at=event.at,
        is_error=failed,
    )


def _name(event: EventView) -> str:
    if event.type is EventType.CONTEXT_RETRIEVED:
        return "quote" if event.data["quote"] else "recall"
    if event.type is EventType.MODEL_FAILED:
        return "think"
    return "plan" if event.data["message"].get("tool_calls") else "answer"


def _note(event: EventView) -> str:
    """The two or three facts that matter of a step."""
    data = event.data
    match event.type:
        case EventType.CONTEXT_RETRIEVED:
            found = len(data["sources"])
            what = "sentence" if data["quote"] else "chunk"
            return f"{', '.join(data['spaces'])} · {found} {what}{'' if found == 1 else 's'}"
        case EventType.MODEL_ANSWERED:
            usage = data["usage"]
            counted = f"{usage['input_tokens']:,} → {usage['output_tokens']:,} tok"
            return f"{data['model']} · {counted}"
        case _:
            again = "" if data["retry_in"] is None else f" · again in {data['retry_in']:.0f} s"
            return f"{data['code']}{again}"


def _open_tool(event: EventView) -> Row:
    return Row(
        anchor=f"s{event.seq}",
        step=event.step,
        kind=SpanKind.TOOL,
        name=event.data["tool"],
        note="under way",
        started_at=event.at,
        ended_at=None,
    )


def _tool(event: EventView) -> Row:
    decision: Mapping[str, Any] = event.data.get("decision") or {}
    refused = decision.get("outcome") == "deny"
    shown = ", ".join(f"{k} {v}" for k, v in _arguments(event.data).items())
    return Row(
        anchor=f"s{event.seq}",
        step=event.step,
        kind=SpanKind.TOOL,
        name=event.data["tool"],
        note=f"refused by {', '.join(decision['policies'])}" if refused else shown[:120],
        started_at=event.started_at,
        ended_at=event.at,
        is_error=bool(event.data["is_error"]),
    )


def _failed(event: EventView) -> Row:
    again = "" if event.data["retry_in"] is None else f"again in {event.data['retry_in']:.0f} s · "
    return Row(
        anchor=f"s{event.seq}",
        step=event.step,
        kind=SpanKind.TOOL,
        name=event.data["tool"],
        note=f"{again}{event.data['detail']}"[:120],
        started_at=event.started_at,
        ended_at=event.at,
        is_error=True,
    )


def _parked(event: EventView) -> Row:
    """Another agent or a workflow at work, or a wait for the clock."""
    if event.type is EventType.TIMER_STARTED:
        until = datetime.fromisoformat(str(event.data["until"]))
        row = _wait(event, "wait", f"until {until:%Y-%m-%d %H:%M} UTC")
        return replace(row, kind=SpanKind.TOOL)
    name = str(event.data.get("agent") or event.data["workflow"])
    handed = event.type is EventType.HANDED_OFF
    row = _wait(event, f"hand over to {name}" if handed else name, "at work")
    return replace(row, kind=SpanKind.AGENT, is_wait=False)


def _arguments(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return data["arguments"] if isinstance(data["arguments"], dict) else {}


def _wait(event: EventView, name: str, note: str) -> Row:
    return Row(
        anchor=f"s{event.seq}",
        step=event.step,
        kind=SpanKind.HUMAN,
        name=name,
        note=note,
        started_at=event.at,
        ended_at=None,
        is_wait=True,
    )


def _told(event: EventView) -> Row:
    """What a loop outside said of its work."""
    row = _wait(event, "note", str(event.data["text"])[:120])
    return replace(row, kind=SpanKind.AGENT, ended_at=event.at, is_wait=False)


def _paused(event: EventView) -> Row:
    return _wait(event, "paused", f"by {event.data.get('by') or 'somebody'}")


def _signal(event: EventView) -> Row:
    row = _wait(event, f"signal {event.data['name']}", f"by {event.data['by']}")
    return replace(row, ended_at=event.at)


def _question(event: EventView) -> Row:
    return _wait(event, "ask a person", str(event.data["question"])[:120])


def _asked(event: EventView) -> list[Row]:
    """What a policy asked, and the wait for the person whom it asked."""
    human = _wait(event, f"approve {event.data['tool']}", "waiting for a person")
    if event.type is EventType.EFFECT_UNKNOWN:
        return [replace(human, name=f"did {event.data['tool']} happen?")]
    policy = replace(
        human,
        anchor=f"s{event.seq}p",
        kind=SpanKind.POLICY,
        name=event.data["policy"],
        note="require approval",
        ended_at=event.at,
        is_wait=False,
    )
    return [policy, human]


def _close(rows: dict[str, Row], anchor: str, event: EventView) -> None:
    if anchor not in rows:
        return
    said = event.data.get("status") or event.data.get("outcome") or _ENDS.get(event.type, "")
    by = event.data.get("by")
    note = f"{said.replace('_', ' ')}{f' by {by}' if by else ''}"
    refused = said in {"refused", "expired", "failed", "cancelled", "quarantined"}
    rows[anchor] = replace(rows[anchor], ended_at=event.at, note=note, is_error=refused)


def _end(rows: dict[str, Row], anchor: str, event: EventView) -> None:
    """The answer to what the engine carried out: it lasted until then, unless it ended before."""
    row = rows[anchor]
    failed = row.is_error or bool(event.data["is_error"])
    rows[anchor] = replace(row, ended_at=row.ended_at or event.at, is_error=failed)


def _working(events: Sequence[EventView]) -> Row:
    """Whatever is under way has no event yet: it began when the last one was written."""
    last = events[-1]
    return Row(
        anchor=f"s{last.seq}w",
        step="",
        kind=SpanKind.MODEL,
        name="working",
        note="",
        started_at=last.at,
        ended_at=None,
    )
