"""Figures of costs: bars compare money, or tokens where nothing cost any; a budget by its nearest
limit.
"""

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.console import costing
from apps.governance.types import Amount, BudgetScope, BudgetView, OnExceed, Period
from apps.observability.types import UsageGroup


def group(of: str, *, cost: str = "0", tokens: int = 0) -> UsageGroup:
    return UsageGroup(
        of=of, calls=1, failed=0, input_tokens=tokens, output_tokens=0, cost_usd=Decimal(cost)
    )


def budget(*, spent: Amount, reserved: Amount | None = None, **limits: Any) -> BudgetView:
    return BudgetView(
        id=UUID(int=1),
        on=BudgetScope.PROJECT,
        target_id=UUID(int=2),
        period=Period.DAY,
        limit_usd=limits.get("usd"),
        limit_tokens=limits.get("tokens"),
        limit_calls=limits.get("calls"),
        on_exceed=OnExceed.BLOCK,
        spent=spent,
        reserved=reserved or Amount(),
        resets_at=None,
    )


def test_bars_compare_money() -> None:
    found = costing.shares([group("a", cost="2", tokens=1), group("b", cost="1", tokens=9)], {})
    assert [share.part for share in found] == ["100.0", "50.0"]


def test_bars_compare_tokens_where_all_is_free() -> None:
    found = costing.shares([group("a", tokens=1), group("b", tokens=4)], {"a": ("ann", "/x")})
    assert [(share.name, share.href, share.part) for share in found] == [
        ("ann", "/x", "25.0"),
        ("b", "", "100.0"),
    ]


def test_a_day_without_calls_has_a_bar_of_no_height() -> None:
    drawn = costing.chart([group("2026-05-03", cost="1")], since=date(2026, 5, 2), days=3)
    assert [day.height for day in drawn.days] == ["0.0", "100.0", "0.0"]
    assert drawn.days[0].told == "02 May: no calls"
    assert (drawn.first, drawn.last) == ("02 May", "04 May")


def test_a_budget_is_told_by_the_limit_that_is_nearest() -> None:
    spent = Amount(usd=Decimal(1), tokens=50, calls=9)
    view = budget(spent=spent, reserved=Amount(calls=1), usd=Decimal(10), tokens=100, calls=11)
    line = costing.budget_line(view, "project default")
    assert (line.spent, line.held, line.left, line.limit) == (
        "9 calls",
        "1 call",
        "1 call",
        "11 calls",
    )
    assert line.others == "100 tokens, $10.00"
    assert line.tone == "wait"
    assert float(line.spent_part) + float(line.held_part) < 100


def test_a_limit_of_nothing_is_used_up() -> None:
    line = costing.budget_line(budget(spent=Amount(), usd=Decimal(0)), "agent x")
    assert (line.tone, line.left, line.spent_part) == ("bad", "$0", "100.0")
