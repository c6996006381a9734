"""Any filter over runs as one statement that costs the same however many runs have ended.

What lives and what has ended are two reads: the first is short by nature, the second is answered
from `run_finished`, or from an index that fits the filter better. A page ends at an id, so runs
that arrive meanwhile move nothing.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from apps.orchestration.models import SEARCHED_CHARACTERS, Run
from apps.orchestration.rows import PAUSE, STORED_STATUS
from apps.orchestration.types import RunFilter, RunStatus
from octavo.kernel import ids, sql

_LIVE = "finished_at IS NULL"
_ENDED = "finished_at IS NOT NULL"
_IS_PAUSED = f"status = 'waiting' AND waiting_on->>'kind' = '{PAUSE}'"
_IS_WAITING = f"status = 'waiting' AND waiting_on->>'kind' IS DISTINCT FROM '{PAUSE}'"
_LIVE_MS = "extract(epoch FROM now() - coalesce(started_at, created_at)) * 1000"
_CLOCKS_APART = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of the list that is read: ids below `before`, above `after`."""

    limit: int
    before: UUID | None = None
    after: UUID | None = None


def find(project_id: UUID, wanted: RunFilter, window: Window) -> QuerySet[Run]:
    """The rows, newest first."""
    statement, values = _page(project_id, wanted, window)
    found = RawSQL(statement, values)  # noqa: S611  built of constants, values are bound
    return Run.objects.filter(id__in=found).order_by("-id")


def list_ids(project_id: UUID, wanted: RunFilter, window: Window) -> list[UUID]:
    """The ids alone, newest first."""
    statement, values = _page(project_id, wanted, window)
    return [run_id for (run_id,) in sql.fetch(statement, values)]


def count(project_id: UUID, wanted: RunFilter, *, up_to: UUID) -> int:
    """How many there are up to that id, itself included."""
    window = Window(limit=0)
    total = 0
    for side in _sides(wanted):
        where, values = _where(project_id, wanted, window, side)
        statement = f"SELECT count(*) FROM run WHERE {where} AND id <= %s"  # noqa: S608  constants
        ((found,),) = sql.fetch(statement, [*values, up_to])
        total += found
    return total


def _page(project_id: UUID, wanted: RunFilter, window: Window) -> tuple[str, list[Any]]:
    parts, values = [], []
    for side in _sides(wanted):
        where, bound = _where(project_id, wanted, window, side)
        parts.append(f"(SELECT id FROM run WHERE {where} ORDER BY id DESC LIMIT %s)")  # noqa: S608
        values += [*bound, window.limit]
    both = " UNION ALL ".join(parts)
    return f"SELECT id FROM ({both}) AS found ORDER BY id DESC LIMIT %s", [*values, window.limit]  # noqa: S608


def _sides(wanted: RunFilter) -> list[str]:
    if wanted.error:
        return [_ENDED]
    if wanted.status is None:
        return [_LIVE, _ENDED]
    return [_ENDED if wanted.status.is_final else _LIVE]


def _where(project_id: UUID, wanted: RunFilter, window: Window, side: str) -> tuple[str, list[Any]]:
    conditions = [
        ("project_id = %s", project_id),
        ("id < %s", window.before),
        ("id > %s", window.after),
        *_of_time(wanted),
        *_of_amounts(wanted, side),
        *_of_names(wanted),
    ]
    given = [(text, value) for text, value in conditions if value is not None]
    texts, values = [side, *(text for text, _ in given)], [value for _, value in given]
    texts += [_of_status(wanted.status)] if wanted.status else []
    texts += ["parent_id IS NULL"] if wanted.only_roots else []
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
        ("tool = %s", wanted.tool or None),
        ("tags @> %s::text[]", list(wanted.tags) or None),
        ("error_code = %s", wanted.error or None),
        ("session <> '' AND left(session, 200) = left(%s, 200)", session),
        ("session = %s", session),
        ("started_by = %s", wanted.started_by or None),
        ("parent_id = %s", wanted.parent),
        ("retry_of = %s", wanted.retry_of),
        (f"left(input::text, {SEARCHED_CHARACTERS}) ILIKE %s", _pattern(wanted.text)),
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
