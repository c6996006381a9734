"""Setting how many runs run at once. A lower limit stops nothing that runs; it admits no more."""

from django.db import transaction

from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from apps.orchestration import slots
from apps.orchestration.models import ConcurrencyLimit
from apps.orchestration.selectors import list_limits
from apps.orchestration.types.serving import ConcurrencyLimitView, LimitKind
from octavo.kernel import audit, ids
from octavo.kernel.errors import InvalidInput, NotFound
from octavo.kernel.scope import Scope

_MOST = 100_000


def set_limit(*, scope: Scope, kind: LimitKind, target: str, most: int) -> ConcurrencyLimitView:
    """At most `most` runs of the project, of the agent `target` or on the route `target` at once.

    Raises `InvalidInput` for a number below 1, and unless the target fits the kind.
    """
    _check(kind, target, most)
    _require(scope)
    with transaction.atomic():
        ConcurrencyLimit.objects.update_or_create(
            project_id=scope.project_id, kind=kind, target=target, defaults={"most": most}
        )
        _audit(scope, kind, target, {"most": most})
    slots.wake()
    return next(
        limit for limit in list_limits(scope=scope) if (limit.kind, limit.target) == (kind, target)
    )


def remove_limit(*, scope: Scope, kind: LimitKind, target: str) -> None:
    """Raises `NotFound` for a limit that is not set."""
    _require(scope)
    rows = ConcurrencyLimit.objects.filter(project_id=scope.project_id, kind=kind, target=target)
    with transaction.atomic():
        deleted, _ = rows.delete()
        if not deleted:
            raise NotFound(
                f"There is no limit for {kind} {target!r}. GET /api/v1/runs/limits lists all."
            )
        _audit(scope, kind, target, {"most": None})
    slots.wake()


def _check(kind: LimitKind, target: str, most: int) -> None:
    errors = []
    if not 1 <= most <= _MOST:
        errors.append({"path": "/most", "detail": f"use 1 to {_MOST}."})
    if (kind is LimitKind.PROJECT) == bool(target):
        detail = "name the agent or the route; leave it out for the project."
        errors.append({"path": "/target", "detail": detail})
    if errors:
        raise InvalidInput(f"The limit cannot be set: {errors[0]['detail']}", errors=errors)


def _require(scope: Scope) -> None:
    project = Resource.project_of(scope)
    decisions.check(scope=scope, action=Action.BUDGET_MANAGE, resource=project)


def _audit(scope: Scope, kind: LimitKind, target: str, payload: dict[str, int | None]) -> None:
    audit.record(
        scope=scope,
        action="run.limit",
        target=f"{kind}:{target}" if target else ids.encode(ids.Kind.PROJECT, scope.project_id),
        payload=payload,
    )
