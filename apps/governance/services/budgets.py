"""Reserve before the call, settle after: no budget is overshot, however many reserve at once.

One conditional UPDATE per window decides, always in the order of the windows' ids, so two calls
cannot wait for each other. A budget counts from the moment it is set.
"""

import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction

from apps.governance.models import Budget
from apps.governance.rows import budget_of
from apps.governance.services import decisions
from apps.governance.types import (
    Action,
    Amount,
    BudgetScope,
    BudgetView,
    OnExceed,
    Period,
    Reservation,
    Resource,
    ResourceKind,
)
from octavo.kernel import audit, ids
from octavo.kernel.clock import now
from octavo.kernel.errors import BudgetExceeded, InvalidInput, NotFound
from octavo.kernel.scope import Scope

log = logging.getLogger(__name__)

# The windows of every budget that a call falls under, made where they are missing.
_WINDOWS = """
WITH target (kind, id) AS (
    SELECT * FROM unnest(%(kinds)s::text[], %(ids)s::uuid[])
), present AS (
    SELECT b.*, CASE b.period
        WHEN 'day' THEN date_trunc('day', now(), 'UTC')
        WHEN 'month' THEN date_trunc('month', now(), 'UTC')
        ELSE 'epoch'::timestamptz END AS starts_at
    FROM budget b JOIN target t ON b.target_id = t.id AND b.scope_kind = t.kind
    WHERE b.organisation_id = %(organisation)s
      AND (b.project_id IS NULL OR b.project_id = %(project)s)
), made AS (
    INSERT INTO budget_window (budget_id, starts_at)
    SELECT p.id, p.starts_at FROM present p
    WHERE NOT EXISTS (
        SELECT FROM budget_window w WHERE w.budget_id = p.id AND w.starts_at = p.starts_at
    )
    ORDER BY p.id
    ON CONFLICT (budget_id, starts_at) DO UPDATE SET starts_at = excluded.starts_at
    RETURNING id, budget_id
)
SELECT coalesce(w.id, m.id) AS id, p.scope_kind, p.period, p.limit_usd, p.limit_tokens,
    p.limit_calls, ceil(extract(epoch FROM (CASE p.period
        WHEN 'day' THEN p.starts_at + interval '1 day'
        WHEN 'month' THEN p.starts_at + interval '1 month' END) - now()))::int AS resets_in
FROM present p
LEFT JOIN budget_window w ON w.budget_id = p.id AND w.starts_at = p.starts_at
LEFT JOIN made m ON m.budget_id = p.id
ORDER BY 1
"""

# Limits are read again here, under the window's lock, so that a lowered limit binds at once.
_SET_ASIDE = """
UPDATE budget_window w SET
    reserved_usd = w.reserved_usd + %(usd)s,
    reserved_tokens = w.reserved_tokens + %(tokens)s,
    reserved_calls = w.reserved_calls + %(calls)s
FROM budget b
WHERE w.id = %(window)s AND b.id = w.budget_id AND (b.on_exceed = 'warn' OR (
    (b.limit_usd IS NULL OR w.spent_usd + w.reserved_usd + %(usd)s <= b.limit_usd)
    AND (b.limit_tokens IS NULL
         OR w.spent_tokens + w.reserved_tokens + %(tokens)s <= b.limit_tokens)
    AND (b.limit_calls IS NULL OR w.spent_calls + w.reserved_calls + %(calls)s <= b.limit_calls)
))
RETURNING w.spent_usd + w.reserved_usd, w.spent_tokens + w.reserved_tokens,
    w.spent_calls + w.reserved_calls
"""

_RESERVE = """
INSERT INTO reservation (id, run_id, windows, usd, tokens, calls)
VALUES (%(id)s, %(run_id)s, %(windows)s::jsonb, %(usd)s, %(tokens)s, %(calls)s)
"""

_CLOSE = """
UPDATE reservation SET state = %(state)s, usage_id = %(usage_id)s
WHERE id = %(id)s AND state = ANY(%(from_states)s)
RETURNING old.state, windows, usd, tokens, calls
"""

_MOVE = """
UPDATE budget_window SET
    reserved_usd = reserved_usd - %(back_usd)s,
    reserved_tokens = reserved_tokens - %(back_tokens)s,
    reserved_calls = reserved_calls - %(back_calls)s,
    spent_usd = spent_usd + %(usd)s,
    spent_tokens = spent_tokens + %(tokens)s,
    spent_calls = spent_calls + %(calls)s
WHERE id = %(window)s
"""

_OPEN_OF_RUN = "SELECT id FROM reservation WHERE state = 'open' AND run_id = %s ORDER BY id"

_STALE = """
SELECT id FROM reservation
WHERE state = 'open' AND created_at < now() - interval '1 hour'
ORDER BY created_at LIMIT 500
"""


def reserve(*, scope: Scope, amount: Amount, agent_id: UUID | None = None) -> Reservation:
    """Set `amount` aside on every budget the call falls under, or on none.

    `amount` must be the most the call can cost. Raises `BudgetExceeded` naming the budget that it
    does not fit. Settle or release the reservation; one forgotten for an hour is released.
    """
    reservation = Reservation(id=ids.new(), amount=amount)
    values: dict[str, Any] = {"usd": amount.usd, "tokens": amount.tokens, "calls": amount.calls}
    windows = _find_windows(scope, agent_id)
    if not windows:
        return reservation
    with transaction.atomic(), connection.cursor() as cursor:
        for window in windows:
            cursor.execute(_SET_ASIDE, {**values, "window": window["id"]})
            _judge_window(window, cursor.fetchone())
        held = orjson.dumps([window["id"] for window in windows]).decode()
        row = {**values, "id": reservation.id, "run_id": scope.run_id, "windows": held}
        cursor.execute(_RESERVE, row)
    return reservation


def settle(*, reservation: Reservation, actual: Amount, usage_id: UUID) -> None:
    """Replace what was set aside by what was used. A second time changes nothing.

    What was released meanwhile, because its process was taken for dead, still counts as spent.
    """
    with transaction.atomic():
        _close(reservation.id, "settled", ["open", "released"], actual, usage_id)


def release(*, reservation: Reservation) -> None:
    """Give back what was set aside for a call that cost nothing. A second time changes nothing."""
    with transaction.atomic():
        _close(reservation.id, "released", ["open"], Amount(), None)


def release_stale() -> int:
    """Release what crashed processes left set aside for more than an hour; how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(_STALE)
        stale = [row[0] for row in cursor.fetchall()]
    return _release_all(stale)


def release_run(*, run_id: UUID) -> int:
    """Release what a crashed process left set aside for the run; how many reservations there were.

    For whoever has just taken the run over. A call that ends after all still counts as spent.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_OF_RUN, [run_id])
        left = [row[0] for row in cursor.fetchall()]
    return _release_all(left)


def set_limit(
    *,
    scope: Scope,
    on: BudgetScope,
    target_id: UUID,
    period: Period,
    limit_usd: Decimal | None = None,
    limit_tokens: int | None = None,
    limit_calls: int | None = None,
    on_exceed: OnExceed = OnExceed.BLOCK,
) -> BudgetView:
    """Create or change the budget of this target and period; what it has spent stays.

    Needs `budget.manage`, but for a single run `run.control`: a run's own limit only narrows.
    """
    limits = {"limit_usd": limit_usd, "limit_tokens": limit_tokens, "limit_calls": limit_calls}
    _refuse_impossible(limits)
    target = _check_may_limit(scope, on, target_id)
    with transaction.atomic():
        budget, _ = Budget.objects.update_or_create(
            **target,
            period=period.value,
            defaults={**limits, "on_exceed": on_exceed.value, "updated_at": now()},
        )
        if on is not BudgetScope.RUN:
            audit.record(
                scope=scope,
                action="budget.set",
                target=ids.encode(ids.Kind.BUDGET, budget.id),
                payload={
                    **limits,
                    "on": on,
                    "target_id": target_id,
                    "period": period,
                    "on_exceed": on_exceed,
                },
            )
    return budget_of(budget)


def _refuse_impossible(limits: dict[str, Any]) -> None:
    wrong = [name for name, value in limits.items() if value is not None and value < 0]
    if wrong:
        raise InvalidInput(
            f"{wrong[0]} is negative. Give 0 to stop all calls, or a positive limit.",
            errors=[{"path": f"/{name}", "detail": "must be 0 or more"} for name in wrong],
        )


def _check_may_limit(scope: Scope, on: BudgetScope, target_id: UUID) -> dict[str, Any]:
    """What names the budget, once the principal may set it. Some span projects."""
    if on is BudgetScope.RUN:
        name = ids.encode(ids.Kind.RUN, target_id)
        run = Resource(kind=ResourceKind.RUN, id=target_id, name=name)
        decisions.check(scope=scope, action=Action.RUN_CONTROL, resource=run)
    else:
        project = Resource.project_of(scope)
        decisions.check(scope=scope, action=Action.BUDGET_MANAGE, resource=project)
    own = {
        BudgetScope.ORGANISATION: scope.organisation_id,
        BudgetScope.TEAM: scope.team_id,
        BudgetScope.PROJECT: scope.project_id,
    }
    if own.get(on, target_id) != target_id:
        raise NotFound(f"There is no such {on} here. Give the id of your own {on}.")
    spans_projects = on in {BudgetScope.ORGANISATION, BudgetScope.TEAM}
    return {
        "scope_kind": on.value,
        "target_id": target_id,
        "organisation_id": scope.organisation_id,
        "project_id": None if spans_projects else scope.project_id,
    }


def _find_windows(scope: Scope, agent_id: UUID | None) -> list[dict[str, Any]]:
    targets = {
        BudgetScope.ORGANISATION: scope.organisation_id,
        BudgetScope.TEAM: scope.team_id,
        BudgetScope.PROJECT: scope.project_id,
        BudgetScope.AGENT: agent_id,
        BudgetScope.KEY: scope.key_id,
        BudgetScope.RUN: scope.run_id,
    }
    given = {kind.value: target for kind, target in targets.items() if target is not None}
    asked: dict[str, Any] = {
        "kinds": list(given),
        "ids": list(given.values()),
        "organisation": scope.organisation_id,
        "project": scope.project_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_WINDOWS, asked)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _judge_window(window: dict[str, Any], used: tuple[Any, ...] | None) -> None:
    """`used` is None when the window had no room and its budget blocks."""
    if used is None:
        raise BudgetExceeded(_exceeded(window), retry_after=window["resets_in"] or 86_400)
    limits = (window["limit_usd"], window["limit_tokens"], window["limit_calls"])
    if any(limit is not None and sum_ > limit for sum_, limit in zip(used, limits, strict=True)):
        log.warning("%s It only warns, so the call goes on.", _exceeded(window))


def _exceeded(window: dict[str, Any]) -> str:
    limits = (
        ("USD", window["limit_usd"]),
        ("tokens", window["limit_tokens"]),
        ("calls", window["limit_calls"]),
    )
    limit = " and ".join(f"{value:,} {unit}" for unit, value in limits if value is not None)
    per = "in total" if window["resets_in"] is None else f"per {window['period']}"
    return (
        f"The budget of this {window['scope_kind']} ({limit} {per}) has no room for the call. "
        "Raise the limit, or wait until a period ends or calls under way are settled."
    )


def _release_all(reservation_ids: Sequence[UUID]) -> int:
    for reservation_id in reservation_ids:
        with transaction.atomic():
            _close(reservation_id, "released", ["open"], Amount(), None)
    return len(reservation_ids)


def _close(
    reservation_id: UUID,
    state: str,
    from_states: list[str],
    actual: Amount,
    usage_id: UUID | None,
) -> None:
    with connection.cursor() as cursor:
        change: dict[str, Any] = {"id": reservation_id, "state": state, "usage_id": usage_id}
        cursor.execute(_CLOSE, {**change, "from_states": from_states})
        closed = cursor.fetchone()
        if closed is None:
            return
        was, windows, usd, tokens, calls = closed
        back = (usd, tokens, calls) if was == "open" else (0, 0, 0)
        move = dict(zip(("back_usd", "back_tokens", "back_calls"), back, strict=True))
        move |= {"usd": actual.usd, "tokens": actual.tokens, "calls": actual.calls}
        for window in sorted(orjson.loads(windows)):
            cursor.execute(_MOVE, {**move, "window": window})
