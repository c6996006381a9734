"""When a schedule is due, and what to make of the times that nobody saw: pure, in absolute times.

Clock changes are met as Debian's cron meets them: a fixed time that is skipped comes as soon as it
can, one that occurs twice comes once; `*` in the minute or hour follows the clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from apps.orchestration.types.triggers import Missed, Timing
from octavo.kernel.errors import InvalidInput

ON_TIME = timedelta(minutes=1)
"""A run that starts so late is still on time; a due time that is older was missed."""
MOST_MADE_UP = 100
LONGEST_CRON = 200
LONGEST_INTERVAL = 366 * 24 * 60 * 60

_SECOND = timedelta(seconds=1)
_FIELDS = 5
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which due times get a run now, and the first and last of those that get none."""

    starts: tuple[datetime, ...] = ()
    passed_over: tuple[datetime, datetime] | None = None


def check(timing: Timing) -> None:
    """Raises `InvalidInput` with paths for a timing that cannot be followed."""
    if (timing.cron is None) == (timing.every_seconds is None):
        raise _invalid("/cron", "give either cron or every_seconds.")
    try:
        ZoneInfo(timing.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        detail = f"{timing.timezone!r} is no IANA time zone; use one such as Europe/Berlin or UTC."
        raise _invalid("/timezone", detail) from None
    if timing.cron is not None:
        _check_cron(timing)
    elif not 1 <= (timing.every_seconds or 0) <= LONGEST_INTERVAL:
        raise _invalid("/every_seconds", f"use 1 to {LONGEST_INTERVAL} seconds.")


def _check_cron(timing: Timing) -> None:
    given = timing.cron or ""
    expression = _expression(given)
    if len(given) > LONGEST_CRON or len(expression.split()) != _FIELDS:
        detail = "use five fields: minute hour day-of-month month day-of-week, as in 0 9 * * 1-5."
        raise _invalid("/cron", detail)
    try:
        CronSim(expression, timing.anchor)
    except CronSimError as error:
        raise _invalid("/cron", f"{given!r} cannot be read: {error}.") from None
    if next_after(timing, timing.anchor) is None:
        raise _invalid("/cron", f"{given!r} names a day that never comes.")


def next_after(timing: Timing, moment: datetime) -> datetime | None:
    """The first due time later than `moment`; None when there is none in 50 years."""
    return next(_due_times(timing, moment), None)


def upcoming(timing: Timing, moment: datetime, *, count: int) -> tuple[datetime, ...]:
    return tuple(islice(_due_times(timing, moment), count))


def plan(timing: Timing, *, due: datetime, now: datetime, missed: Missed) -> Plan:
    """What to do at `now` about a schedule whose next due time was `due`."""
    back = list(islice(_back_from(timing, now, until=due), MOST_MADE_UP + 1)) or [due]
    latest, earlier = back[0], back[1:]
    made_up = back[:MOST_MADE_UP]
    match missed:
        case Missed.RUN_ALL:
            starts = tuple(reversed(made_up))
        case Missed.RUN_ONCE:
            starts = (latest,)
        case Missed.SKIP:
            starts = (latest,) if now - latest <= ON_TIME else ()
    over = earlier if starts else back
    if missed is Missed.RUN_ALL:
        over = back[MOST_MADE_UP:]
    return Plan(starts=starts, passed_over=(due, over[0]) if over else None)


def _due_times(timing: Timing, moment: datetime) -> Iterator[datetime]:
    """All due times later than `moment`, in order."""
    moment = moment.astimezone(UTC)
    if timing.every_seconds is not None:
        every = timedelta(seconds=timing.every_seconds)
        count = (moment - timing.anchor) // every
        while True:
            count += 1
            yield timing.anchor + count * every
    last = moment
    for local in _cron(timing, moment):
        found = local.astimezone(UTC)
        if found > last:
            yield found
            last = found


def _back_from(timing: Timing, moment: datetime, *, until: datetime) -> Iterator[datetime]:
    """The due times not later than `moment`, the latest first, down to `until`."""
    if timing.every_seconds is not None:
        every = timedelta(seconds=timing.every_seconds)
        found = timing.anchor + (moment - timing.anchor) // every * every
        while found >= until:
            yield found
            found -= every
        return
    last = moment + _SECOND
    for local in _cron(timing, moment + _SECOND, reverse=True):
        found = local.astimezone(UTC)
        if found < until:
            return
        if found < last and found <= moment:
            yield found
            last = found


def _cron(timing: Timing, moment: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    zone = ZoneInfo(timing.timezone)
    return CronSim(_expression(timing.cron or ""), moment.astimezone(zone), reverse=reverse)


def _expression(given: str) -> str:
    return _ALIASES.get(given.strip().lower(), given)


def _invalid(path: str, detail: str) -> InvalidInput:
    return InvalidInput(
        f"The schedule cannot be kept: {detail}", errors=[{"path": path, "detail": detail}]
    )
