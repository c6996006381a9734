"""What usage and budgets look like: shares of a whole, bars of days, and what a limit leaves.

Drawings are SVG attributes in per cent, so that no page needs a style of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.console import formatting
from apps.governance.types import BudgetView, OnExceed, Period
from apps.observability.types import UsageGroup
from octavo.kernel import ids

CHART_HEIGHT = 100
_NEAR = 80  # per cent of a limit from which on it is worth a look
# A limit, what is spent, what is set aside, and how such an amount is told.
type _Bound = tuple[Decimal, Decimal, Decimal, Callable[[Decimal], str]]
_PER = {Period.DAY: "a day", Period.MONTH: "a month", Period.TOTAL: "in total"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One agent, model or tool. `part` is its bar: per cent of the largest one."""

    name: str
    href: str
    calls: int
    failed: int
    tokens: int
    cost: str
    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One bar of the chart, in its coordinates; `told` is what a pointer on it reads."""

    x: str
    y: str
    height: str
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    days: tuple[Day, ...]
    width: int
    first: str
    last: str
    most: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLine:
    """A budget by its tightest limit. `spent_part` and `held_part` are per cent of that limit."""

    public_id: str
    name: str
    per: str
    spent: str
    held: str
    limit: str
    left: str
    others: str
    spent_part: str
    held_part: str
    used: Decimal
    tone: str
    only_warns: bool
    resets_at: datetime | None


def shares(groups: Sequence[UsageGroup], names: Mapping[Any, tuple[str, str]]) -> list[Share]:
    """`names` gives a group its name and address. Bars compare costs, tokens where all is free."""
    weights = _weights(groups)
    most = max(weights, default=Decimal(0))
    return [
        Share(
            name=names.get(group.of, (str(group.of or "calls without an agent"), ""))[0],
            href=names.get(group.of, ("", ""))[1],
            calls=group.calls,
            failed=group.failed,
            tokens=group.input_tokens + group.output_tokens,
            cost=formatting.money(group.cost_usd),
            part=_percent(weight, most),
        )
        for group, weight in zip(groups, weights, strict=True)
    ]


def chart(groups: Sequence[UsageGroup], *, since: date, days: int) -> Chart:
    """One bar a day from `since` on, also for a day without calls."""
    by_day = {str(group.of): (group, w) for group, w in zip(groups, _weights(groups), strict=True)}
    most = max((weight for _, weight in by_day.values()), default=Decimal(0))
    dates = [since + timedelta(days=number) for number in range(days)]
    drawn = []
    for number, day in enumerate(dates):
        group, weight = by_day.get(day.isoformat(), (None, Decimal(0)))
        height = float(weight / most) * CHART_HEIGHT if most else 0.0
        height = max(height, 2.0) if group else 0.0
        drawn.append(
            Day(
                x=f"{number * 10 + 1}",
                y=f"{CHART_HEIGHT - height:.1f}",
                height=f"{height:.1f}",
                told=f"{day:%d %b}: {_told(group)}",
            )
        )
    top = max((group for group, _ in by_day.values()), key=_order, default=None)
    return Chart(
        days=tuple(drawn),
        width=days * 10,
        first=f"{dates[0]:%d %b}",
        last=f"{dates[-1]:%d %b}",
        most=_told(top) if top else "",
    )


def budget_line(budget: BudgetView, name: str) -> BudgetLine:
    """`used` is per cent of the tightest limit, spent and set aside, for sorting."""
    nearest, *others = _bounds(budget)
    limit, used, set_aside, say = nearest
    used_part, held_part = _part(used, limit), _part(set_aside, limit)
    used_in_all = min(used_part + held_part, Decimal(100))
    return BudgetLine(
        public_id=ids.encode(ids.Kind.BUDGET, budget.id),
        name=name,
        per=_PER[budget.period],
        spent=say(used),
        held=say(set_aside) if set_aside else "",
        limit=say(limit),
        left=say(max(limit - used - set_aside, Decimal(0))),
        others=", ".join(tell(other) for other, _, _, tell in others),
        spent_part=f"{used_part:.1f}",
        held_part=f"{min(held_part, 100 - used_part):.1f}",
        used=used_in_all,
        tone="bad" if used_in_all >= 100 else "wait" if used_in_all >= _NEAR else "ok",
        only_warns=budget.on_exceed is OnExceed.WARN,
        resets_at=budget.resets_at,
    )


def _bounds(budget: BudgetView) -> list[_Bound]:
    """The limits that bind, the one nearest to being reached first."""
    spent, held, bound = budget.spent, budget.reserved, list[_Bound]()
    if budget.limit_usd is not None:
        bound.append((budget.limit_usd, spent.usd, held.usd, formatting.money))
    for limit, used, set_aside, say in (
        (budget.limit_tokens, spent.tokens, held.tokens, _tokens),
        (budget.limit_calls, spent.calls, held.calls, _calls),
    ):
        if limit is not None:
            bound.append((Decimal(limit), Decimal(used), Decimal(set_aside), say))
    return sorted(bound, key=lambda one: _part(one[1] + one[2], one[0]), reverse=True)


def _weights(groups: Sequence[UsageGroup]) -> list[Decimal]:
    is_free = not any(group.cost_usd for group in groups)
    return [
        Decimal(group.input_tokens + group.output_tokens) if is_free else group.cost_usd
        for group in groups
    ]


def _order(group: UsageGroup) -> tuple[Decimal, int]:
    return group.cost_usd, group.input_tokens + group.output_tokens


def _told(group: UsageGroup | None) -> str:
    if group is None:
        return "no calls"
    tokens = group.input_tokens + group.output_tokens
    return f"{formatting.money(group.cost_usd)} · {_tokens(tokens)} · {_calls(group.calls)}"


def _tokens(count: Decimal | int) -> str:
    return f"{count:,} tokens"


def _calls(count: Decimal | int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"


def _part(value: Decimal, limit: Decimal) -> Decimal:
    """Per cent of the limit, at most 100; a limit of nothing is always used up."""
    return min(value / limit * 100, Decimal(100)) if limit else Decimal(100)


def _percent(value: Decimal, most: Decimal) -> str:
    return f"{value / most * 100:.1f}" if most else "0"
