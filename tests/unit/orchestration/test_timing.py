"""When schedules are due, over clock changes, month ends and long absences."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.orchestration import timing
from apps.orchestration.types.triggers import Missed, Timing
from octavo.kernel.errors import InvalidInput

START = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = "Europe/Berlin"
CRONS = ["30 2 * * *", "*/30 * * * *", "0 * * * *", "0,30 1-3 * * *", "0 0 L * *", "0 9 * * 1-5"]


def cron(expression: str, zone: str = BERLIN) -> Timing:
    return Timing(cron=expression, timezone=zone, anchor=START)


def every(seconds: int, anchor: datetime = START) -> Timing:
    return Timing(every_seconds=seconds, anchor=anchor)


def times(found: Timing, after: str, count: int) -> list[str]:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    return [f"{t:%m-%d %H:%M}" for t in timing.upcoming(found, moment, count=count)]


def test_a_time_that_the_clock_skips_comes_as_soon_as_it_can() -> None:
    # 29 March 2026: 02:00 CET is 03:00 CEST.
    found = times(cron("30 2 * * *"), "2026-03-28", 3)
    assert found == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]


def test_a_time_that_occurs_twice_comes_once() -> None:
    # 25 October 2026: 03:00 CEST is 02:00 CET.
    found = times(cron("30 2 * * *"), "2026-10-24", 3)
    assert found == ["10-24 00:30", "10-25 00:30", "10-26 01:30"]
    assert times(cron("30 2 * * *"), "2026-10-25T01:10", 1) == ["10-26 01:30"]


def test_every_half_hour_is_every_half_hour_over_both_changes() -> None:
    for day in ("2026-03-28T23:00", "2026-10-24T23:00"):
        found = timing.upcoming(
            cron("*/30 * * * *"), datetime.fromisoformat(day).replace(tzinfo=UTC), count=12
        )
        assert {b - a for a, b in pairwise(found)} == {timedelta(minutes=30)}


def test_month_ends() -> None:
    assert times(cron("0 0 L * *", "UTC"), "2026-01-31T12:00", 3) == [
        "02-28 00:00",
        "03-31 00:00",
        "04-30 00:00",
    ]
    assert times(cron("0 0 31 * *", "UTC"), "2026-01-31T12:00", 2) == ["03-31 00:00", "05-31 00:00"]
    assert times(cron("@monthly", "UTC"), "2026-01-31T12:00", 1) == ["02-01 00:00"]


@given(st.integers(1, 100_000), st.integers(0, 10**8))
def test_an_interval_never_drifts(seconds: int, later: int) -> None:
    moment = START + timedelta(seconds=later)
    found = timing.next_after(every(seconds), moment)
    assert found is not None
    assert moment < found <= moment + timedelta(seconds=seconds)
    assert (found - START) % timedelta(seconds=seconds) == timedelta(0)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CRONS), st.integers(0, 366 * 24 * 3600), st.integers(0, 12))
def test_looking_back_finds_what_looking_ahead_found(rule: str, offset: int, count: int) -> None:
    """Also around clock changes, near which a third of the moments are."""
    found = cron(rule)
    changes = [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)]
    moment = [START, *changes][offset % 3] + timedelta(seconds=offset % (7 * 3600))
    ahead = timing.upcoming(found, moment, count=count + 1)
    back = timing._back_from(found, ahead[-1], until=ahead[0])
    assert tuple(reversed(list(back))) == ahead


def test_what_is_on_time_just_starts() -> None:
    due = START + timedelta(hours=1)
    for missed in Missed:
        plan = timing.plan(every(3600), due=due, now=due + timedelta(seconds=5), missed=missed)
        assert plan == timing.Plan(starts=(due,))


@given(
    st.sampled_from(list(Missed)),
    st.integers(1, 10_000),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_each_due_time_is_started_or_passed_over(
    missed: Missed, seconds: int, late: int, is_cron: bool
) -> None:
    found = cron("*/7 * * * *") if is_cron else every(seconds)
    due = timing.next_after(found, START)
    assert due is not None
    now = due + timedelta(seconds=late)
    plan = timing.plan(found, due=due, now=now, missed=missed)
    following = timing.next_after(found, now)
    assert following is not None
    assert all(due <= start <= now < following for start in plan.starts)
    assert list(plan.starts) == sorted(set(plan.starts))
    if plan.passed_over is not None:
        first, last = plan.passed_over
        assert first == due <= last < (plan.starts or (following,))[0]
    else:
        assert plan.starts[0] == due
    match missed:
        case Missed.RUN_ONCE:
            assert len(plan.starts) == 1
        case Missed.SKIP:
            assert all(now - start <= timing.ON_TIME for start in plan.starts)
        case Missed.RUN_ALL:
            assert 1 <= len(plan.starts) <= timing.MOST_MADE_UP


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "/cron"),
        ({"cron": "0 9 * * *", "every_seconds": 60}, "/cron"),
        ({"cron": "0 9 * *"}, "/cron"),
        ({"cron": "* * * * * *"}, "/cron"),
        ({"cron": "61 * * * *"}, "/cron"),
        ({"cron": "0 0 30 2 *"}, "/cron"),
        ({"cron": "0 0 */29 2 MON#5"}, "/cron"),
        ({"cron": "1 " * 200}, "/cron"),
        ({"cron": "9" * 190 + " * * * *"}, "/cron"),
        ({"every_seconds": 0}, "/every_seconds"),
        ({"every_seconds": 10**9}, "/every_seconds"),
        ({"cron": "0 9 * * *", "timezone": "Mars/Olympus"}, "/timezone"),
        ({"cron": "0 9 * * *", "timezone": "../etc/passwd"}, "/timezone"),
        ({"cron": "0 9 * * *", "timezone": ""}, "/timezone"),
        ({"cron": "0 9 * * *", "timezone": "Europe"}, "/timezone"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(fields: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        timing.check(Timing(anchor=START, **fields))  # type: ignore[arg-type]
    assert refused.value.errors[0]["path"] == path


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789*/,-#LWMONJA @²", max_size=30))
def test_any_text_is_a_cron_or_refused(text: str) -> None:
    try:
        timing.check(cron(text))
    except InvalidInput:
        return
    assert timing.next_after(cron(text), START) is not None
