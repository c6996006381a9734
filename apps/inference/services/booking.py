"""The two ends of every model call: allowed and covered before it is sent, booked once after it.

Both are short database work; nothing here waits for a network.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.governance.services import budgets, decisions
from apps.governance.types import Action, Amount, Resource, ResourceKind
from apps.inference.services.outcome import call_status
from apps.inference.types import Attempt, PreparedCall, TokenUsage
from apps.model_registry import selectors as registry
from apps.model_registry.types import ModelKind, RouteView, Target
from apps.observability.services import record_usage
from apps.observability.types import CallStatus, TraceParent
from octavo.kernel.clock import now
from octavo.kernel.errors import InvalidInput, Unavailable
from octavo.kernel.scope import PrincipalKind, Scope
from octavo.kernel.statements import Statement


def open_call[R](
    *,
    scope: Scope,
    route: str,
    kind: ModelKind,
    request: R,
    worst: Callable[[RouteView], TokenUsage],
    step: str = "",
    trace: TraceParent | None = None,
) -> PreparedCall[R]:
    """Ask policy, then set aside what the call may cost at most, at the dearest target's price.

    `worst` says how many tokens the call can take on the route. Raises `NotFound`, `InvalidInput`,
    `Forbidden` or `BudgetExceeded`; then nothing is reserved.
    """
    view, credentials = registry.get_callable_route(scope=scope, name=route)
    _check_serves(view, kind)
    decision = decisions.check(
        scope=scope,
        action=Action.MODEL_CALL,
        resource=Resource(kind=ResourceKind.ROUTE, id=view.id, name=view.name),
        step=step,
    )
    principal = scope.principal
    most = worst(view)
    reservation = budgets.reserve(
        scope=scope,
        amount=Amount(
            usd=max(_cost(target, most) for target in view.targets),
            tokens=most.input_tokens + most.output_tokens,
            calls=1,
        ),
        agent_id=principal.id if principal.kind is PrincipalKind.AGENT else None,
    )
    return PreparedCall(
        scope=scope,
        route=view.name,
        kind=kind,
        request=request,
        targets=view.targets,
        credentials=credentials,
        decision=decision,
        reservation=reservation,
        step=step,
        trace=trace,
    )


def _check_serves(view: RouteView, kind: ModelKind) -> None:
    if view.kind != kind:
        raise InvalidInput(
            f"Route {view.name!r} serves {view.kind}, not {kind}. Name a route for {kind}.",
            errors=[{"path": "/route", "detail": f"serves {view.kind}, not {kind}"}],
        )
    if not view.targets:
        raise Unavailable(f"Route {view.name!r} has no models. Point it at one, then retry.")


def close_call[R](*, prepared: PreparedCall[R], started_at: datetime) -> Decimal:
    """Book what was used and give back the rest of the reservation, both or neither.

    That is what the answer used, and what answers used that broke off before it.
    """
    answered = prepared.attempts[-1].target
    return _close(prepared, answered, prepared.attempts, CallStatus.OK, started_at)


def close_failed_call[R](
    *, prepared: PreparedCall[R], error: BaseException, started_at: datetime
) -> UUID:
    """Book what answers used that broke off, under the last; nothing where none had begun."""
    used = [attempt for attempt in prepared.attempts if attempt.usage != TokenUsage()]
    target = used[-1].target if used else prepared.targets[0]
    _close(prepared, target, used, call_status(error), started_at)
    return prepared.usage_id


def _close[R](
    prepared: PreparedCall[R],
    target: Target,
    attempts: Sequence[Attempt],
    status: CallStatus,
    started_at: datetime,
) -> Decimal:
    usage = TokenUsage(
        input_tokens=sum(attempt.usage.input_tokens for attempt in attempts),
        output_tokens=sum(attempt.usage.output_tokens for attempt in attempts),
    )
    cost = sum((_cost(attempt.target, attempt.usage) for attempt in attempts), Decimal(0))
    if attempts:
        tokens = usage.input_tokens + usage.output_tokens
        closing = budgets.settling(
            reservation=prepared.reservation,
            actual=Amount(usd=cost, tokens=tokens, calls=1),
            usage_id=prepared.usage_id,
        )
    else:
        closing = budgets.releasing(reservation=prepared.reservation)
    _record(prepared, target, usage, cost, status, started_at, closing)
    return cost


def _record[R](
    prepared: PreparedCall[R],
    target: Target,
    usage: TokenUsage,
    cost: Decimal,
    status: CallStatus,
    started_at: datetime,
    closing: Sequence[Statement],
) -> None:
    record_usage(
        scope=prepared.scope,
        step=prepared.step,
        route=prepared.route,
        provider=target.model.provider,
        model=target.model.name,
        kind=prepared.kind,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=cost,
        status=status,
        started_at=started_at,
        ended_at=now(),
        usage_id=prepared.usage_id,
        trace=prepared.trace,
        decision_id=prepared.decision.id,
        along=closing,
    )


def _cost(target: Target, usage: TokenUsage) -> Decimal:
    return target.model.price.cost(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens
    )
