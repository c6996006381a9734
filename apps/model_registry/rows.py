"""What the verbs of the registry share: columns of a model, targets of a route, audit entries."""

import re
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from apps.model_registry.defaults import model_defaults
from apps.model_registry.models import Model, Provider, Route, RouteTarget
from apps.model_registry.routing import known_routes
from apps.model_registry.selectors import provider_row
from apps.model_registry.types import ModelKind, Price, ProviderKind, Tier
from octavo.kernel import audit
from octavo.kernel.clock import now
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def check_may_manage(scope: Scope, resource: Resource | None = None) -> None:
    decisions.check(
        scope=scope,
        action=Action.MODEL_MANAGE,
        resource=resource or Resource.project_of(scope),
    )


def check_name(thing: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot name a {thing}: use up to 63 lower-case letters, digits, '.', '_' "
            "and '-', starting with a letter or digit.",
            errors=[{"path": "/name", "detail": "must match ^[a-z0-9][a-z0-9._-]{0,62}$"}],
        )


def stated_columns(
    *,
    tier: Tier | None = None,
    context_window: int | None = None,
    native_tools: bool | None = None,
    dimensions: int | None = None,
    price: Price | None = None,
) -> dict[str, Any]:
    """The columns that a caller says something about."""
    columns = {
        "tier": tier,
        "context_window": context_window,
        "native_tools": native_tools,
        "dimensions": dimensions,
        "input_price": price and price.input,
        "output_price": price and price.output,
    }
    return {column: value for column, value in columns.items() if value is not None}


def known_columns(provider: Provider, name: str, kind: ModelKind) -> dict[str, Any]:
    """Every column of a model that nobody has said anything about."""
    if not name.strip():
        raise InvalidInput(
            "A model needs the name its provider knows it by.",
            errors=[{"path": "/name", "detail": "must not be empty"}],
        )
    known = model_defaults(
        provider=ProviderKind(provider.kind), base_url=provider.base_url, name=name, kind=kind
    )
    return {
        "kind": kind,
        "tier": known.tier,
        "context_window": known.context_window,
        "native_tools": known.native_tools,
        "input_price": known.price.input,
        "output_price": known.price.output,
    }


def obtain_model(scope: Scope, provider: str, name: str, kind: ModelKind) -> tuple[Model, bool]:
    """The model, and whether it was registered just now."""
    owner = provider_row(scope=scope, name=provider)
    row = Model.objects.filter(provider=owner, name=name).first()
    is_new = False
    if row is None:
        row, is_new = Model.objects.get_or_create(
            provider=owner, name=name, defaults=known_columns(owner, name, kind)
        )
    if row.kind != kind:
        raise InvalidInput(
            f"{provider}/{name} is registered as a model for {row.kind}, not for {kind}.",
            errors=[{"path": "/targets", "detail": f"{provider}/{name} serves {row.kind}"}],
        )
    return row, is_new


def point_route(
    scope: Scope, name: str, kind: ModelKind, models: Sequence[Model], *, automatic: bool
) -> None:
    with transaction.atomic():
        route, _ = Route.objects.update_or_create(
            project_id=scope.project_id,
            name=name,
            defaults={"kind": kind, "automatic": automatic, "updated_at": now()},
        )
        RouteTarget.objects.filter(route=route).delete()
        RouteTarget.objects.bulk_create(
            RouteTarget(route=route, model=model, ord=ord) for ord, model in enumerate(models)
        )
        target = [f"{model.provider.name}/{model.name}" for model in models]
        record(scope, "route.set", name, targets=target, automatic=automatic)


def record_added(scope: Scope, row: Model) -> None:
    record(
        scope,
        "model.added",
        f"{row.provider.name}/{row.name}",
        kind=str(row.kind),
        input_price=str(row.input_price),
        output_price=str(row.output_price),
    )


def changes(before: Model | None, after: Model, columns: Sequence[str]) -> dict[str, Any]:
    """Each column whose value is another now, with the old value and the new one as text."""
    return {
        column: {"from": str(old), "to": str(getattr(after, column))}
        for column in columns
        if (old := getattr(before, column, None)) != getattr(after, column)
    }


def record(scope: Scope, action: str, target: str, **payload: object) -> None:
    audit.record(scope=scope, action=action, target=target, payload=payload)
    transaction.on_commit(known_routes.forget)
