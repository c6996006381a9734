"""Reserve before the call, settle after: no budget is overshot, however many reserve at once.

The database decides in one statement, under the locks of all windows that the call falls under
(migration 0003). A budget counts from the moment it is set.
"""

import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.governance import exceeding
from apps.governance.models import Budget
from apps.governance.rows import budgets_of, get_budget_row
from apps.governance.services import decisions
from apps.governance.types import (
    Action,
    Amount,
    BudgetScope,
    BudgetView,
    Limits,
    OnExceed,
    Period,
    Reservation,
    Resource,
    ResourceKind,
)
from octavo.kernel import audit, ids
from octavo.kernel.clock import now
from octavo.kernel.errors import Conflict, InvalidInput, NotFound
from octavo.kernel.scope import Scope
from octavo.kernel.statements import Statement, run_together

log = logging.getLogger(__name__)

_PER = {Period.DAY: "per day", Period.MONTH: "per month", Period.TOTAL: "in total"}

_RESERVE = """
SELECT * FROM budget_reserve(
    %(kinds)s::text[], %(targets)s::uuid[], %(organisation)s::uuid, %(project)s::uuid,
    %(id)s::uuid, %(run)s::uuid, %(usd)s::numeric, %(tokens)s::bigint, %(calls)s::bigint
)
"""

_CLOSE = """
SELECT budget_close(
    %s::uuid, %s::text, %s::text[], %s::uuid, %s::numeric, %s::bigint, %s::bigint
)
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
    reservation_id = ids.new()
    windows = _set_aside(scope, amount, agent_id, reservation_id)
    for window in windows:
        _judge_window(window, amount)
    return Reservation(id=reservation_id, amount=amount, is_held=bool(windows))


def settle(*, reservation: Reservation, actual: Amount, usage_id: UUID) -> None:
    """Replace what was set aside by what was used. A second time changes nothing.

    What was released meanwhile, because its process was taken for dead, still counts as spent.
    """
    run_together(*settling(reservation=reservation, actual=actual, usage_id=usage_id))


def release(*, reservation: Reservation) -> None:
    """Give back what was set aside for a call that cost nothing. A second time changes nothing."""
    run_together(*releasing(reservation=reservation))


def settling(*, reservation: Reservation, actual: Amount, usage_id: UUID) -> list[Statement]:
    """`settle` as statements, to be run together with the one that writes the usage."""
    if not reservation.is_held:
        return []
    return [_closing(reservation.id, "settled", ["open", "released"], actual, usage_id)]


def releasing(*, reservation: Reservation) -> list[Statement]:
    """`release` as statements."""
    if not reservation.is_held:
        return []
    return [_closing(reservation.id, "released", ["open"], Amount(), None)]


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


def create_budget(
    *,
    scope: Scope,
    on: BudgetScope,
    target_id: UUID,
    period: Period,
    limits: Limits,
    on_exceed: OnExceed = OnExceed.BLOCK,
) -> BudgetView:
    """A budget that there was none of. Raises `Conflict` naming the one there is.

    Needs `budget.manage`, but for a single run `run.control`: a run's own limit only narrows.
    """
    _refuse_impossible(limits)
    target = _check_may_limit(scope, on, target_id)
    values = {**_columns(limits), "on_exceed": on_exceed.value}
    with transaction.atomic():
        row, created = Budget.objects.get_or_create(**target, period=period.value, defaults=values)
        if created:
            _record(scope, "budget.set", row)
    if not created:
        name = ids.encode(ids.Kind.BUDGET, row.id)
        raise Conflict(
            f"This {on} already has a budget {_PER[period]}: {name}. Change it with PATCH "
            f"/api/v1/budgets/{name}.",
            head=name,
        )
    return budgets_of([row])[0]


def change_budget(
    *,
    scope: Scope,
    budget_id: UUID,
    limits: Limits | None = None,
    on_exceed: OnExceed | None = None,
) -> BudgetView:
    """Other limits from the next call on, or another way to enforce them; what is spent stays."""
    row = get_budget_row(scope, budget_id)
    _check_may_limit(scope, BudgetScope(row.scope_kind), row.target_id)
    wanted = {} if limits is None else _columns(limits)
    if limits is not None:
        _refuse_impossible(limits)
    if on_exceed is not None:
        wanted["on_exceed"] = on_exceed.value
    with transaction.atomic():
        Budget.objects.filter(id=row.id).update(**wanted, updated_at=now())
        row.refresh_from_db()
        _record(scope, "budget.set", row)
    return budgets_of([row])[0]


def delete_budget(*, scope: Scope, budget_id: UUID) -> None:
    """The limit is gone with its counters; usage rows stay."""
    row = get_budget_row(scope, budget_id)
    _check_may_limit(scope, BudgetScope(row.scope_kind), row.target_id)
    with transaction.atomic():
        Budget.objects.filter(id=row.id).delete()
        _record(scope, "budget.deleted", row)


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

    Needs what `create_budget` needs.
    """
    limits = Limits(usd=limit_usd, tokens=limit_tokens, calls=limit_calls)
    _refuse_impossible(limits)
    target = _check_may_limit(scope, on, target_id)
    values = {**_columns(limits), "on_exceed": on_exceed.value, "updated_at": now()}
    with transaction.atomic():
        row, _ = Budget.objects.update_or_create(**target, period=period.value, defaults=values)
        if on is not BudgetScope.RUN:
            _record(scope, "budget.set", row)
    return budgets_of([row])[0]


def _columns(limits: Limits) -> dict[str, Any]:
    return {
        "limit_usd": limits.usd,
        "limit_tokens": limits.tokens,
        "limit_calls": limits.calls,
    }


def _record(scope: Scope, action: str, row: Budget) -> None:
    audit.record(
        scope=scope,
        action=action,
        target=ids.encode(ids.Kind.BUDGET, row.id),
        payload={
            "limit_usd": row.limit_usd,
            "limit_tokens": row.limit_tokens,
            "limit_calls": row.limit_calls,
            "on": row.scope_kind,
            "target_id": row.target_id,
            "period": row.period,
            "on_exceed": row.on_exceed,
        },
    )


def _refuse_impossible(limits: Limits) -> None:
    values = _columns(limits)
    wrong = [name for name, value in values.items() if value is not None and value < 0]
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


def _set_aside(
    scope: Scope, amount: Amount, agent_id: UUID | None, reservation_id: UUID
) -> list[dict[str, Any]]:
    """Each budget that the call falls under, as it stood before, `is_full` where it has no room."""
    targets = {
        BudgetScope.ORGANISATION: scope.organisation_id,
        BudgetScope.TEAM: scope.team_id,
        BudgetScope.PROJECT: scope.project_id,
        BudgetScope.AGENT: agent_id,
        BudgetScope.KEY: scope.key_id,
        BudgetScope.RUN: scope.run_id,
    }
    given = [(kind.value, target) for kind, target in targets.items() if target is not None]
    if scope.root_run_id not in {None, scope.run_id}:
        given.append((BudgetScope.RUN.value, scope.root_run_id))
    asked: dict[str, Any] = {
        "kinds": [kind for kind, _ in given],
        "targets": [target for _, target in given],
        "organisation": scope.organisation_id,
        "project": scope.project_id,
        "id": reservation_id,
        "run": scope.run_id,
        "usd": amount.usd,
        "tokens": amount.tokens,
        "calls": amount.calls,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, asked)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _judge_window(window: dict[str, Any], amount: Amount) -> None:
    if not window["is_full"]:
        return
    if window["on_exceed"] == OnExceed.WARN:
        log.warning("%s It only warns, so the call goes on.", exceeding.describe(window, amount))
        return
    raise exceeding.exceeded(window, amount)


def _release_all(reservation_ids: Sequence[UUID]) -> int:
    for reservation_id in reservation_ids:
        run_together(_closing(reservation_id, "released", ["open"], Amount(), None))
    return len(reservation_ids)


def _closing(
    reservation_id: UUID,
    state: str,
    from_states: list[str],
    actual: Amount,
    usage_id: UUID | None,
) -> Statement:
    used = [actual.usd, actual.tokens, actual.calls]
    return Statement(sql=_CLOSE, values=[reservation_id, state, from_states, usage_id, *used])
