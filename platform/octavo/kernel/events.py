"""How a lower layer tells an upper one: an event becomes one outbox job per subscriber, or is kept
until somebody takes it.

Both are written in the emitter's transaction. Upper layers subscribe in `AppConfig.ready()`;
nothing is called in-process.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from octavo.kernel import jobs, sql

_AT_ONCE = timedelta(0)
_subscribers: dict[str, list[str]] = defaultdict(list)
_kept: set[str] = set()

_KEEP = "INSERT INTO kept_event (name, args) VALUES (%(name)s, %(args)s::jsonb)"
_TAKE = """
DELETE FROM kept_event WHERE id = (
  SELECT id FROM kept_event WHERE name = ANY(%(names)s::text[])
  ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, name, args, at
"""
_LIST = """
SELECT id, name, args, at FROM kept_event WHERE name = ANY(%(names)s::text[])
ORDER BY id LIMIT %(limit)s
"""
_DROP = "DELETE FROM kept_event WHERE id = %(id)s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One event as it was emitted, and when its transaction began."""

    id: int
    name: str
    arguments: Mapping[str, jobs.Argument]
    at: datetime


def subscribe(event: str, *, job: str) -> None:
    """Run `job` with the event's arguments whenever `event` is emitted and committed."""
    if job not in _subscribers[event]:
        _subscribers[event].append(job)


def keep(event: str) -> None:
    """Store each `event` until `take` hands it out: for a subscriber who must see each just once.

    A job may be lost with the broker and may run twice; what is kept may not.
    """
    _kept.add(event)


def emit(event: str, **arguments: jobs.Argument) -> None:
    """Promise delivery to every subscriber if and only if the caller's transaction commits."""
    for job in _subscribers[event]:
        jobs.enqueue(job, delay=_AT_ONCE, **arguments)
    if event in _kept:
        sql.run(_KEEP, name=event, args=orjson.dumps(arguments).decode())


def take(events: Sequence[str]) -> Kept | None:
    """The oldest kept event of these names that nobody else is dealing with.

    It is deleted in the caller's transaction, and there again if that fails.
    """
    rows = sql.run(_TAKE, names=list(events))
    if not rows:
        return None
    return _kept_event(rows[0])


def list_kept(events: Sequence[str], *, limit: int) -> list[Kept]:
    """The oldest kept events of these names, for work that no transaction can hold. Several
    processes may see the same ones, so the work must bear being done twice; `drop` each when done.
    """
    return [_kept_event(row) for row in sql.run(_LIST, names=list(events), limit=limit)]


def drop(event: Kept) -> None:
    sql.run(_DROP, id=event.id)


def _kept_event(row: tuple[Any, ...]) -> Kept:
    key, name, arguments, at = row
    return Kept(id=key, name=name, arguments=orjson.loads(arguments), at=at)


def subscribed_jobs() -> frozenset[str]:
    return frozenset(job for jobs_of_event in _subscribers.values() for job in jobs_of_event)
