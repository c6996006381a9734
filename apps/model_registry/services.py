"""Every write to the registry: permission, row and audit entry in one place.

A route or provider that a person set is never changed by a restart; one that was set automatically
follows the environment of the installation.
"""

from collections.abc import Sequence
from uuid import UUID

from django.db import IntegrityError, models, transaction

from apps.governance.types import Resource, ResourceKind
from apps.model_registry import automatic
from apps.model_registry.addresses import checked_url
from apps.model_registry.models import Model, Provider, Route, RouteTarget
from apps.model_registry.rows import (
    changes,
    check_may_manage,
    check_name,
    known_columns,
    obtain_model,
    point_route,
    record,
    record_added,
    stated_columns,
)
from apps.model_registry.selectors import (
    get_route,
    model_row,
    model_view,
    provider_row,
    provider_view,
    route_row,
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
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, InvalidInput
from octavo.kernel.scope import Scope
from octavo.kernel.secrets import Secret, reveal


def create_provider(
    *, scope: Scope, name: str, kind: ProviderKind, base_url: str = "", api_key: str = ""
) -> ProviderView:
    """Add a provider to the organisation; its key is encrypted and never shown again.

    `base_url` is the address under which the server speaks the OpenAI protocol, its version
    included ("https://host/v1"); "/v1" is added to an address without a path. OpenAI, Anthropic,
    Google and Ollama have a default. Raises `Conflict` when the name is taken.
    """
    check_may_manage(scope)
    check_name("provider", name)
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
            record(scope, "provider.created", name, kind=str(kind), base_url=row.base_url)
    except IntegrityError:
        raise Conflict(
            f"There is already a provider {name!r} in this organisation. Choose another name."
        ) from None
    return provider_view(row)


def change_provider(
    *, scope: Scope, name: str, base_url: str | None = None, api_key: str | None = None
) -> ProviderView:
    """Give a provider another address or key; what is left out stays, and `""` removes the key.

    From then on a restart leaves it as it is. Raises `InvalidInput` where its key would go to
    another address without being given again.
    """
    check_may_manage(scope)
    with transaction.atomic():
        row = provider_row(scope=scope, name=name, for_update=True)
        if base_url is not None:
            _move(row, checked_url(ProviderKind(row.kind), base_url), api_key)
        if api_key is not None:
            row.api_key = Secret(api_key.strip())
        row.automatic = False
        row.save()
        is_new_key = api_key is not None
        record(scope, "provider.changed", name, base_url=row.base_url, new_key=is_new_key)
    return provider_view(row)


def _move(row: Provider, base_url: str, api_key: str | None) -> None:
    """A stored key is for the address it was stored with: else it could be sent to anybody's."""
    if base_url != row.base_url and api_key is None and reveal(row, "api_key"):
        raise InvalidInput(
            f"Provider {row.name!r} has a key for {row.base_url}. Send its api_key for the new "
            'base_url too, or "" for none.',
            errors=[{"path": "/api_key", "detail": "needed with another base_url"}],
        )
    row.base_url = base_url


def delete_provider(*, scope: Scope, name: str) -> None:
    """Remove a provider, its key and its models. Raises `Conflict` while a route leads to them."""
    check_may_manage(scope)
    with transaction.atomic():
        row = provider_row(scope=scope, name=name, for_update=True)
        _refuse_routed(scope, f"Provider {name!r}", models.Q(model__provider=row))
        row.delete()
        record(scope, "provider.deleted", name)


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
    check_may_manage(scope)
    owner = provider_row(scope=scope, name=provider)
    stated = stated_columns(
        tier=tier,
        context_window=context_window,
        native_tools=native_tools,
        dimensions=dimensions,
        price=price,
    )
    known = known_columns(owner, name, kind)
    with transaction.atomic():
        before = Model.objects.select_for_update().filter(provider=owner, name=name).first()
        row, created = Model.objects.update_or_create(
            provider=owner,
            name=name,
            defaults=stated | {"kind": kind},
            create_defaults=known | stated,
        )
        if created:
            record_added(scope, row)
        else:
            changed = changes(before, row, [*stated, "kind"])
            record(scope, "model.changed", f"{provider}/{name}", kind=str(kind), changes=changed)
    return model_view(row)


def delete_model(*, scope: Scope, model_id: UUID) -> None:
    """Forget a model of a provider. Raises `Conflict` while a route leads to it."""
    check_may_manage(scope)
    with transaction.atomic():
        row = model_row(scope=scope, model_id=model_id, for_update=True)
        name = f"{row.provider.name}/{row.name}"
        _refuse_routed(scope, f"Model {name}", models.Q(model=row))
        row.delete()
        record(scope, "model.deleted", name)


def _refuse_routed(scope: Scope, thing: str, condition: models.Q) -> None:
    """Routes of other projects are counted, not named."""
    routes = Route.objects.filter(pk__in=RouteTarget.objects.filter(condition).values("route"))
    own = routes.filter(project_id=scope.project_id).order_by("name")
    named = list(own.values_list("name", flat=True))
    others = routes.exclude(project_id=scope.project_id).count()
    if named or others:
        used = [f"the route `{name}`" for name in named]
        used += [f"{others} in other projects"] if others else []
        raise Conflict(
            f"{thing} serves {', '.join(used)}. Point these at other models first: "
            "POST /api/v1/models/routes."
        )


def set_route(
    *, scope: Scope, name: str, kind: ModelKind, targets: Sequence[tuple[str, str]]
) -> RouteView:
    """Point a route at `(provider, model)` pairs, the first that works being used.

    Creates the route, and any model that is not registered yet, with its defaults.
    """
    check_name("route", name)
    _check_may_set(scope, name)
    if not targets or len(set(targets)) != len(targets):
        raise InvalidInput(
            f"Route {name!r} needs at least one target, and each only once.",
            errors=[{"path": "/targets", "detail": "one or more different provider/model pairs"}],
        )
    with transaction.atomic():
        found = [obtain_model(scope, provider, model, kind) for provider, model in targets]
        for row, is_new in found:
            if is_new:
                record_added(scope, row)
        point_route(scope, name, kind, [row for row, _ in found], automatic=False)
    return get_route(scope=scope, name=name)


def delete_route(*, scope: Scope, name: str) -> None:
    """Remove a route; runs of agents that name it then fail.

    `default` and `embedding` can only be pointed elsewhere: `Conflict`.
    """
    _check_may_set(scope, name)
    if name in automatic.ROUTES:
        raise Conflict(
            f"Route {name!r} is needed by every project. Point it at other models instead: "
            f"PUT /api/v1/models/routes/{name}."
        )
    with transaction.atomic():
        route_row(scope=scope, name=name).delete()
        record(scope, "route.deleted", name)


def _check_may_set(scope: Scope, name: str) -> None:
    """Asks about the route itself, or, where there is none, about one of that name."""
    row = Route.objects.filter(project_id=scope.project_id, name=name).first()
    resource = Resource(kind=ResourceKind.ROUTE, id=row.id if row else ids.new(), name=name)
    check_may_manage(scope, resource)


def ensure_default_routes(*, scope: Scope, found: FoundModel) -> RouteView:
    """Make `default` (the found model) and `embedding` (built in) exist; safe at every start.

    A route that was set automatically before follows what is found now; a person's stays. Returns
    `default` as it stands.
    """
    check_may_manage(scope)
    automatic.ensure_routes(scope, found)
    return get_route(scope=scope, name="default")
