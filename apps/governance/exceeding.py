"""What a full budget says: which one, its limit, what is spent, and when there is room again."""

from collections.abc import Mapping
from decimal import Decimal
from math import ceil
from typing import Any

from apps.governance.types import Amount
from octavo.kernel import ids
from octavo.kernel.clock import now, rfc3339
from octavo.kernel.errors import BudgetExceeded

_UNITS = ("usd", "tokens", "calls")
_NEVER_RESETS = 86_400


def exceeded(window: Mapping[str, Any], amount: Amount) -> BudgetExceeded:
    return BudgetExceeded(
        describe(window, amount),
        retry_after=_retry_after(window, amount),
        budget={
            "id": ids.encode(ids.Kind.BUDGET, window["budget_id"]),
            "scope": window["scope_kind"],
            "period": window["period"],
            "resets_at": rfc3339(window["ends_at"]),
            **{
                unit: {
                    "limit": _plain(window[f"limit_{unit}"]),
                    "spent": _plain(window[f"spent_{unit}"]),
                    "reserved": _plain(window[f"reserved_{unit}"]),
                }
                for unit in _UNITS
                if window[f"limit_{unit}"] is not None
            },
        },
    )


def describe(window: Mapping[str, Any], amount: Amount) -> str:
    limited = [unit for unit in _UNITS if window[f"limit_{unit}"] is not None]
    limit = " and ".join(_said(window[f"limit_{unit}"], unit) for unit in limited)
    spent = " and ".join(_said(window[f"spent_{unit}"], unit) for unit in limited)
    reserved = " and ".join(_said(window[f"reserved_{unit}"], unit) for unit in limited)
    needed = " and ".join(_said(getattr(amount, unit), unit) for unit in limited)
    per = "in total" if window["ends_at"] is None else f"per {window['period']}"
    name = ids.encode(ids.Kind.BUDGET, window["budget_id"])
    resets = "It never resets" if window["ends_at"] is None else f"It resets at {_moment(window)}"
    return (
        f"The budget of this {window['scope_kind']} ({limit} {per}) has no room for the call: "
        f"{spent} spent, {reserved} set aside for calls under way, and this call may need "
        f"{needed}. {resets}. To raise the limit, send PATCH /api/v1/budgets/{name}."
    )


def _retry_after(window: Mapping[str, Any], amount: Amount) -> int:
    """Seconds: one where only calls under way stand in the way, else until the period ends."""
    fits_later = all(
        window[f"spent_{unit}"] + getattr(amount, unit) <= window[f"limit_{unit}"]
        for unit in _UNITS
        if window[f"limit_{unit}"] is not None
    )
    if fits_later:
        return 1
    if window["ends_at"] is None:
        return _NEVER_RESETS
    left: float = (window["ends_at"] - now()).total_seconds()
    return max(1, ceil(left))


def _moment(window: Mapping[str, Any]) -> str:
    return f"{window['ends_at']:%Y-%m-%d %H:%M} UTC"


def _said(value: Decimal | int, unit: str) -> str:
    if not isinstance(value, Decimal):
        return f"{value:,} {unit}"
    cents = value.quantize(Decimal("0.01"))
    return f"{cents if cents == value else _plain(value)} USD"


def _plain(value: Decimal | int | None) -> str | int | None:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value
