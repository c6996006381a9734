"""Every write to the registry: permission, row and audit entry in one place.

A route or provider that a person set is never changed by a restart; one that was set automatically
follows the environment of the installation.
"""

import re
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.model_registry.addresses import builtin_url, checked_url
from apps.model_registry.defaults import model_defaults
from apps.model_registry.models import Model, Provider, Route, RouteTarget
from apps.model_registry.routing import known_routes
from apps.model_registry.selectors import (
    get_route,
    model_view,
    provider_row,
    provider_view,
)
from apps.model_registry.types import (
    FoundModel,
    ModelKind,
    ModelView,
    Price,
    ProviderKind,
    ProviderView,
    RouteView,
    Tier,
)
from octavo.kernel import audit, ids
from octavo.kernel.clock import now
from octavo.kernel.errors import Conflict, InvalidInput
from octavo.kernel.scope import Scope
from octavo.kernel.secrets import Secret, reveal

BUILTIN = "builtin"
BUILTIN_EMBEDDING = "all-minilm-l6-v2"
BUILTIN_DIMENSIONS = 384
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def create_provider(
    *, scope: Scope, name: str, kind: ProviderKind, base_url: str = "", api_key: str = ""
) -> ProviderView:
    """Add a provider to the organisation; its key is encrypted and never shown again.

    `base_url` is the address under which the server speaks the OpenAI protocol, its version
    included ("https://host/v1"); "/v1" is added to an address without a path. OpenAI, Anthropic,
    Google and Ollama have a default. Raises `Conflict` when the name is taken.
    """
    _check_may_manage(scope)
    _check_name("provider", name)
    row = Provider(
        organisation_id=scope.organisation_id,
        name=name,
        kind=kind,
        base_url=checked_url(kind, base_url),
        api_key=Secret(api_key.strip()),
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            _record(scope, "provider.created", name, kind=str(kind), base_url=row.base_url)
    except IntegrityError:
        raise Conflict(
            f"There is already a provider {name!r} in this organisation. Choose another name."
        ) from None
    return provider_view(row)


def add_model(
    *,
    scope: Scope,
    provider: str,
    name: str,
    kind: ModelKind,
    tier: Tier | None = None,
    context_window: int | None = None,
    native_tools: bool | None = None,
    dimensions: int | None = None,
    price: Price | None = None,
) -> ModelView:
    """Register a model of a provider, or change one.

    What is left out keeps its value; a new model takes what is known of it.
    """
    _check_may_manage(scope)
    owner = provider_row(scope=scope, name=provider)
    said = _said(
        tier=tier,
        context_window=context_window,
        native_tools=native_tools,
        dimensions=dimensions,
        price=price,
    )
    known = _known(owner, name, kind)
    with transaction.atomic():
        before = Model.objects.select_for_update().filter(provider=owner, name=name).first()
        row, created = Model.objects.update_or_create(
            provider=owner,
            name=name,
            defaults=said | {"kind": kind},
            create_defaults=known | said,
        )
        if created:
            _record_added(scope, row)
        else:
            changes = _changes(before, row, [*said, "kind"])
            _record(scope, "model.changed", f"{provider}/{name}", kind=str(kind), changes=changes)
    return model_view(row)


def set_route(
    *, scope: Scope, name: str, kind: ModelKind, targets: Sequence[tuple[str, str]]
) -> RouteView:
    """Point a route at `(provider, model)` pairs, the first that works being used.

    Creates the route, and any model that is not registered yet, with its defaults.
    """
    _check_name("route", name)
    existing = Route.objects.filter(project_id=scope.project_id, name=name).first()
    _check_may_manage(
        scope,
        Resource(kind=ResourceKind.ROUTE, id=existing.id if existing else ids.new(), name=name),
    )
    if not targets or len(set(targets)) != len(targets):
        raise InvalidInput(
            f"Route {name!r} needs at least one target, and each only once.",
            errors=[{"path": "/targets", "detail": "one or more different provider/model pairs"}],
        )
    with transaction.atomic():
        found = [_model_row(scope, provider, model, kind) for provider, model in targets]
        for row, is_new in found:
            if is_new:
                _record_added(scope, row)
        _point(scope, name, kind, [row for row, _ in found], automatic=False)
    return get_route(scope=scope, name=name)


def ensure_default_routes(*, scope: Scope, found: FoundModel) -> RouteView:
    """Make `default` (the found model) and `embedding` (built in) exist; safe at every start.

    A route that was set automatically before follows what is found now; a person's stays. Returns
    `default` as it stands.
    """
    _check_may_manage(scope)
    local = FoundModel(
        source=BUILTIN,
        provider=BUILTIN,
        kind=ProviderKind.BUILTIN,
        base_url=builtin_url(),
        name=BUILTIN_EMBEDDING,
        tier=Tier.STARTER,
    )
    embedder = _ensure_model(scope, local, ModelKind.EMBEDDING, dimensions=BUILTIN_DIMENSIONS)
    _ensure_route(scope, "embedding", embedder)
    _ensure_route(scope, "default", _ensure_model(scope, found, ModelKind.CHAT))
    return get_route(scope=scope, name="default")


def _said(
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


def _known(provider: Provider, name: str, kind: ModelKind) -> dict[str, Any]:
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


def _model_row(scope: Scope, provider: str, name: str, kind: ModelKind) -> tuple[Model, bool]:
    """The model, and whether it was registered just now."""
    owner = provider_row(scope=scope, name=provider)
    row = Model.objects.filter(provider=owner, name=name).first()
    is_new = False
    if row is None:
        row, is_new = Model.objects.get_or_create(
            provider=owner, name=name, defaults=_known(owner, name, kind)
        )
    if row.kind != kind:
        raise InvalidInput(
            f"{provider}/{name} is registered as a model for {row.kind}, not for {kind}.",
            errors=[{"path": "/targets", "detail": f"{provider}/{name} serves {row.kind}"}],
        )
    return row, is_new


def _point(
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
        _record(scope, "route.set", name, targets=target, automatic=automatic)


def _ensure_route(scope: Scope, name: str, model: Model) -> None:
    route = Route.objects.filter(project_id=scope.project_id, name=name).first()
    if route is not None:
        pointed = list(route.targets.values_list("model_id", flat=True))
        if not route.automatic or pointed == [model.id]:
            return
    _point(scope, name, ModelKind(model.kind), [model], automatic=True)


def _ensure_model(
    scope: Scope, found: FoundModel, kind: ModelKind, *, dimensions: int | None = None
) -> Model:
    provider = _ensure_provider(scope, found)
    row = Model.objects.filter(provider=provider, name=found.name).first()
    if row is not None:
        return row
    said = _said(tier=found.tier, context_window=found.context_window, dimensions=dimensions)
    row, _ = Model.objects.get_or_create(
        provider=provider,
        name=found.name,
        defaults=_known(provider, found.name, kind) | said,
    )
    return row


def _ensure_provider(scope: Scope, found: FoundModel) -> Provider:
    """The provider of that name, as the environment has it unless a person made it."""
    row = Provider.objects.filter(
        organisation_id=scope.organisation_id, name=found.provider
    ).first()
    if row is None:
        row = Provider(organisation_id=scope.organisation_id, name=found.provider, automatic=True)
    elif not row.automatic or (
        (row.kind, row.base_url) == (found.kind, found.base_url)
        and reveal(row, "api_key") == found.api_key
    ):
        return row
    row.kind, row.base_url, row.api_key = found.kind, found.base_url, Secret(found.api_key)
    with transaction.atomic():
        row.save()
        _record(scope, "provider.found", found.provider, base_url=found.base_url)
    return row


def _check_may_manage(scope: Scope, resource: Resource | None = None) -> None:
    decisions.check(
        scope=scope,
        action=Action.MODEL_MANAGE,
        resource=resource or Resource.project_of(scope),
    )


def _record_added(scope: Scope, row: Model) -> None:
    _record(
        scope,
        "model.added",
        f"{row.provider.name}/{row.name}",
        kind=str(row.kind),
        input_price=str(row.input_price),
        output_price=str(row.output_price),
    )


def _changes(before: Model | None, after: Model, columns: Sequence[str]) -> dict[str, Any]:
    """Each column whose value is another now, with the old value and the new one as text."""
    return {
        column: {"from": str(old), "to": str(getattr(after, column))}
        for column in columns
        if (old := getattr(before, column, None)) != getattr(after, column)
    }


def _record(scope: Scope, action: str, target: str, **payload: object) -> None:
    audit.record(scope=scope, action=action, target=target, payload=payload)
    transaction.on_commit(known_routes.forget)


def _check_name(thing: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot name a {thing}: use up to 63 lower-case letters, digits, '.', '_' "
            "and '-', starting with a letter or digit.",
            errors=[{"path": "/name", "detail": "must match ^[a-z0-9][a-z0-9._-]{0,62}$"}],
        )
