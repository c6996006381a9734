"""What a person reads about a run: durations, money, and bars in proportion."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.console import presenting
from apps.observability.types import Span, SpanKind, SpanStatus
from octavo.kernel import clock


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.34, "340 ms"), (2.44, "2.4 s"), (185, "3 m 05 s"), (7800, "2 h 10 m"), (-1, "0 ms")],
)
def test_durations_are_in_human_units(seconds: float, words: str) -> None:
    assert presenting.duration(timedelta(seconds=seconds)) == words


def test_money_is_short_and_never_lies_about_zero() -> None:
    assert presenting.money(Decimal(0)) == "$0"
    assert presenting.money(Decimal("0.0061")) == "$0.0061"
    assert presenting.money(Decimal("12.3")) == "$12.30"


def test_bars_are_in_proportion_and_below_their_parent() -> None:
    start = clock.now() - timedelta(seconds=100)
    root = _span("a" * 16, None, start, start + timedelta(seconds=10))
    half = _span("b" * 16, root.span_id, start + timedelta(seconds=5), root.ended_at)
    first, second = presenting.step_lines([root, half])
    assert (first.depth, second.depth) == (0, 1)
    assert (first.left, first.width) == ("0.00", "100.00")
    assert (second.left, second.width) == ("50.00", "50.00")
    assert presenting.ticks([root, half])[-1] == "10.0 s"
    assert presenting.step_lines([]) == presenting.ticks([]) == []


def _span(span_id: str, parent: str | None, started_at: object, ended_at: object) -> Span:
    return Span(
        trace_id="0" * 32,
        span_id=span_id,
        parent_id=parent,
        name="step",
        kind=SpanKind.TOOL,
        status=SpanStatus.OK,
        started_at=started_at,  # type: ignore[arg-type]
        ended_at=ended_at,  # type: ignore[arg-type]
    )
