"""Any filter over runs as one statement that costs the same however many runs have ended.

What lives and what has ended are two reads: the first is short by nature, the second is answered
by the index that fits the rarest part of the filter, or from `run_finished` alone. A page ends at
an id, so runs that arrive meanwhile move nothing.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from apps.orchestration.models import SEARCHED_CHARACTERS, Run
from apps.orchestration.rows import PAUSE, STORED_STATUS
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.serving import RunFilter
from octavo.kernel import ids, sql

_LIVE = "finished_at IS NULL"
_ENDED = "finished_at IS NOT NULL"
_IS_PAUSED = f"status = 'waiting' AND waiting_on->>'kind' = '{PAUSE}'"
_IS_WAITING = f"status = 'waiting' AND waiting_on->>'kind' IS DISTINCT FROM '{PAUSE}'"
_LIVE_MS = "extract(epoch FROM now() - coalesce(started_at, created_at)) * 1000"
_INDEXED_TEXT = f"left(input::text, {SEARCHED_CHARACTERS}) ILIKE %s"
_EYED_TEXT = f"left(input::text, {SEARCHED_CHARACTERS}) || '' ILIKE %s"
_NEWEST = 2000
_CLOCKS_APART = timedelta(minutes=5)


class Among(Enum):
    """What may be found at all."""

    ALL = auto()
    LIVE = auto()
    UNSUCCESSFUL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of the list that is read: ids below `before`, above `after`."""

    limit: int
    before: UUID | None = None
    after: UUID | None = None
    among: Among = Among.ALL
    by_eye: bool = False  # look at each text, without the index


def find(project_id: UUID, wanted: RunFilter, window: Window) -> QuerySet[Run]:
    """The rows, newest first."""
    if wanted.text and any((wanted.error, wanted.session, wanted.parent, wanted.retry_of)):
        window = replace(window, by_eye=True)  # those find few: their index is the better one
    newest = _among_newest(project_id, wanted, window) if wanted.text else []
    if newest:
        return Run.objects.filter(id__in=newest).order_by("-id")
    statement, values = _page(project_id, wanted, window)
    found = RawSQL(statement, values)  # noqa: S611  built of constants, values are bound
    return Run.objects.filter(id__in=found).order_by("-id")


def _among_newest(project_id: UUID, wanted: RunFilter, window: Window) -> list[UUID]:
    """A full page of ids if the newest runs hold one, else none. So a common word is found without
    the index, which would bring every run that has it; a rare one is what the index is for.
    """
    below = "AND id < %s" if window.before else ""
    values = [project_id, window.before] if window.before else [project_id]
    rows = sql.fetch(
        f"SELECT id FROM run WHERE project_id = %s AND {_ENDED} {below} "  # noqa: S608  constants
        f"ORDER BY id DESC OFFSET {_NEWEST} LIMIT 1",
        values,
    )
    if not rows or (window.after and window.after > rows[0][0]):
        return []
    statement, values = _page(project_id, wanted, replace(window, after=rows[0][0], by_eye=True))
    found = [run_id for (run_id,) in sql.fetch(statement, values)]
    return found if len(found) == window.limit else []


def list_ids(project_id: UUID, wanted: RunFilter, window: Window) -> list[UUID]:
    """The ids alone, newest first."""
    statement, values = _page(project_id, wanted, window)
    return [run_id for (run_id,) in sql.fetch(statement, values)]


def count(project_id: UUID, wanted: RunFilter, *, up_to: UUID, among: Among = Among.ALL) -> int:
    """How many there are up to that id, itself included."""
    window = Window(limit=0, among=among)
    total = 0
    for side in _sides(wanted, among):
        where, values = _where(project_id, wanted, window, side)
        statement = f"SELECT count(*) FROM run WHERE {where} AND id <= %s"  # noqa: S608  constants
        ((found,),) = sql.fetch(statement, [*values, up_to])
        total += found
    return total


def _page(project_id: UUID, wanted: RunFilter, window: Window) -> tuple[str, list[Any]]:
    parts = ["SELECT id FROM run WHERE false"]
    values: list[Any] = []
    for side in _sides(wanted, window.among):
        where, bound = _where(project_id, wanted, window, side)
        parts.append(f"(SELECT id FROM run WHERE {where} ORDER BY id DESC LIMIT %s)")  # noqa: S608
        values += [*bound, window.limit]
    both = " UNION ALL ".join(parts)
    return f"SELECT id FROM ({both}) AS found ORDER BY id DESC LIMIT %s", [*values, window.limit]  # noqa: S608


def _sides(wanted: RunFilter, among: Among) -> list[str]:
    sides = [_LIVE, _ENDED]
    if wanted.status is not None:
        sides = [_ENDED if wanted.status.is_final else _LIVE]
    if wanted.error:
        sides = [_ENDED]
    allowed = {Among.ALL: sides, Among.LIVE: [_LIVE], Among.UNSUCCESSFUL: [_ENDED]}[among]
    return [side for side in sides if side in allowed]


def _where(project_id: UUID, wanted: RunFilter, window: Window, side: str) -> tuple[str, list[Any]]:
    conditions = [
        ("project_id = %s", project_id),
        ("id < %s", window.before),
        ("id > %s", window.after),
        *_of_time(wanted),
        *_of_amounts(wanted, side),
        *_of_names(wanted),
        (_EYED_TEXT if window.by_eye else _INDEXED_TEXT, _pattern(wanted.text)),
    ]
    given = [(text, value) for text, value in conditions if value is not None]
    texts, values = [side, *(text for text, _ in given)], [value for _, value in given]
    texts += [_of_status(wanted.status)] if wanted.status else []
    texts += ["parent_id IS NULL"] if wanted.only_roots else []
    texts += ["status <> 'done'"] if window.among is Among.UNSUCCESSFUL else []
    for key, value in wanted.metadata.items():
        forms = _spellings(key, value)
        texts.append(f"({' OR '.join(['metadata @> %s::jsonb'] * len(forms))})")
        values += forms
    return " AND ".join(texts), values


def _of_time(wanted: RunFilter) -> list[tuple[str, Any]]:
    """By the id first, which sorts by the time of the process that made it."""
    since, until = wanted.since, wanted.until
    return [
        ("id >= %s", since and ids.first_at(since - _CLOCKS_APART)),
        ("created_at >= %s", since),
        ("id < %s", until and ids.first_at(until + _CLOCKS_APART)),
        ("created_at < %s", until),
    ]


def _of_amounts(wanted: RunFilter, side: str) -> list[tuple[str, Any]]:
    cost, ms = ("cost_usd", _LIVE_MS) if side == _LIVE else ("ended_cost_usd", "ended_ms")
    least, most = (
        None if seconds is None else seconds * 1000
        for seconds in (wanted.min_seconds, wanted.max_seconds)
    )
    return [
        (f"{cost} >= %s", wanted.min_cost),
        (f"{cost} <= %s", wanted.max_cost),
        (f"{ms} >= %s", least),
        (f"{ms} <= %s", most),
    ]


def _of_names(wanted: RunFilter) -> list[tuple[str, Any]]:
    session = wanted.session or None
    return [
        ("agent_name = %s", wanted.agent or None),
        ("workflow_name = %s", wanted.workflow or None),
        ("tool = %s", wanted.tool or None),
        ("tags @> %s::text[]", list(wanted.tags) or None),
        ("error_code = %s", wanted.error or None),
        ("session <> '' AND left(session, 200) = left(%s, 200)", session),
        ("session = %s", session),
        ("started_by = %s", wanted.started_by or None),
        ("triggered_by <> '' AND triggered_by = %s", wanted.triggered_by or None),
        ("parent_id = %s", wanted.parent),
        ("retry_of = %s", wanted.retry_of),
    ]


def _of_status(status: RunStatus) -> str:
    match status:
        case RunStatus.PAUSED:
            return _IS_PAUSED
        case RunStatus.WAITING:
            return _IS_WAITING
        case _:
            return f"status = '{STORED_STATUS[status]}'"


def _pattern(text: str) -> str | None:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if text else None


def _spellings(key: str, value: str) -> list[str]:
    """As a string, and as the number or boolean that it spells."""
    forms: list[Any] = [value]
    try:
        read = orjson.loads(value)
    except orjson.JSONDecodeError:
        read = None
    if isinstance(read, int | float):
        forms.append(read)
    return [orjson.dumps({key: form}).decode() for form in forms]
