"""Reads: a caller sees its own organisation's providers and its project's routes.

Lists and `get_visible_route` ask policy first; the others serve layers that ask it themselves.
"""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Prefetch

from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.model_registry.defaults import BASE_URLS
from apps.model_registry.models import Model, Provider, Route, RouteTarget
from apps.model_registry.routing import known_routes
from apps.model_registry.types import (
    ModelKind,
    ModelView,
    Price,
    ProviderKind,
    ProviderView,
    RouteView,
    Target,
    Tier,
)
from octavo.kernel import ids
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope
from octavo.kernel.secrets import Secret, reveal

_TARGETS = Prefetch("targets", RouteTarget.objects.select_related("model__provider"))


def get_route(*, scope: Scope, name: str) -> RouteView:
    """The route with its targets in order, for a layer that asks policy about the route itself.

    Raises `NotFound` naming the routes there are.
    """
    return route_view(route_row(scope=scope, name=name))


def route_row(*, scope: Scope, name: str) -> Route:
    """With its targets. Raises `NotFound` naming the routes there are."""
    rows = Route.objects.filter(project_id=scope.project_id, name=name)
    row = rows.prefetch_related(_TARGETS).first()
    if row is None:
        raise NotFound(f"There is no route {name!r} in this project. {_known_routes(scope)}")
    return row


def get_callable_route(*, scope: Scope, name: str) -> tuple[RouteView, tuple[str, ...]]:
    """`get_route` with the credential of each target, for a layer that calls it again and again.

    A change that another process made is seen within two seconds.
    """
    known = known_routes.find(scope.project_id, name)
    if known is None:
        changes = known_routes.changes
        view = get_route(scope=scope, name=name)
        credentials = get_credentials(provider_ids=[t.provider_id for t in view.targets])
        known = (view, credentials)
        known_routes.remember(scope.project_id, name, known, changes=changes)
    return known


def list_callable_routes(*, scope: Scope) -> list[RouteView]:
    """By name, those that policy lets the caller call."""
    allowed = decisions.allowed_ids(scope=scope, action=Action.MODEL_CALL, kind=ResourceKind.ROUTE)
    rows = Route.objects.filter(id__in=allowed, project_id=scope.project_id).order_by("name")
    return [route_view(row) for row in rows.prefetch_related(_TARGETS)]


def get_visible_route(*, scope: Scope, name: str) -> RouteView:
    """`get_route` for somebody who asks to see it. Needs `run.read`."""
    _check_may(scope, Action.RUN_READ)
    return get_route(scope=scope, name=name)


def _known_routes(scope: Scope) -> str:
    names = list(
        Route.objects.filter(project_id=scope.project_id)
        .order_by("name")
        .values_list("name", flat=True)
    )
    if not names:
        return "It has no routes yet: restart Octavo to create `default` and `embedding`."
    return f"Routes: {', '.join(names)}."


def get_provider(*, scope: Scope, name: str) -> ProviderView:
    """Raises `NotFound` for a name that the caller's organisation does not have."""
    return provider_view(provider_row(scope=scope, name=name))


def find_base_url(*, kind: ProviderKind) -> str | None:
    """Where this kind of provider speaks the OpenAI protocol, unless told otherwise."""
    return BASE_URLS.get(kind)


def get_visible_provider(*, scope: Scope, name: str) -> ProviderView:
    """`get_provider` for somebody who asks to see it. Needs `model.manage`."""
    _check_may(scope, Action.MODEL_MANAGE)
    return get_provider(scope=scope, name=name)


def provider_row(*, scope: Scope, name: str, for_update: bool = False) -> Provider:
    rows = Provider.objects.filter(organisation_id=scope.organisation_id, name=name)
    row = (rows.select_for_update() if for_update else rows).first()
    if row is None:
        raise NotFound(
            f"There is no provider {name!r}. Create it with POST /api/v1/models/providers first."
        )
    return row


def get_visible_model(*, scope: Scope, model_id: UUID) -> ModelView:
    """Needs `run.read`. Raises `NotFound` for a model of another organisation."""
    _check_may(scope, Action.RUN_READ)
    return model_view(model_row(scope=scope, model_id=model_id))


def model_row(*, scope: Scope, model_id: UUID, for_update: bool = False) -> Model:
    rows = Model.objects.filter(
        provider__organisation_id=scope.organisation_id, id=model_id
    ).select_related("provider")
    row = (rows.select_for_update(of=("self",)) if for_update else rows).first()
    if row is None:
        raise NotFound(
            f"There is no model {ids.encode(ids.Kind.MODEL, model_id)}. "
            "GET /api/v1/models lists those there are."
        )
    return row


def get_credentials(*, provider_ids: Sequence[UUID]) -> tuple[str, ...]:
    """The API key of each provider in the order asked ("" where none is set); `repr` hides them."""
    rows = Provider.objects.in_bulk(list(provider_ids))
    return tuple(Secret(reveal(rows[provider_id], "api_key")) for provider_id in provider_ids)


def list_providers(*, scope: Scope) -> list[ProviderView]:
    """By name. Needs `model.manage`, because addresses inside the network are shown."""
    _check_may(scope, Action.MODEL_MANAGE)
    rows = Provider.objects.filter(organisation_id=scope.organisation_id).order_by("name")
    return [provider_view(row) for row in rows]


def list_models(*, scope: Scope) -> list[ModelView]:
    """By provider, then name. Needs `run.read`."""
    _check_may(scope, Action.RUN_READ)
    rows = (
        Model.objects.filter(provider__organisation_id=scope.organisation_id)
        .select_related("provider")
        .order_by("provider__name", "name")
    )
    return [model_view(row) for row in rows]


def list_routes(*, scope: Scope) -> list[RouteView]:
    """By name. Needs `run.read`."""
    _check_may(scope, Action.RUN_READ)
    rows = Route.objects.filter(project_id=scope.project_id).order_by("name")
    return [route_view(row) for row in rows.prefetch_related(_TARGETS)]


def list_route_resources(*, scope: Scope) -> list[Resource]:
    """The project's routes as governance sees them."""
    rows = Route.objects.filter(project_id=scope.project_id).order_by("name")
    return [Resource(kind=ResourceKind.ROUTE, id=row.id, name=row.name) for row in rows]


def _check_may(scope: Scope, action: Action) -> None:
    decisions.check(scope=scope, action=action, resource=Resource.project_of(scope))


def provider_view(row: Provider) -> ProviderView:
    return ProviderView(
        id=row.id,
        name=row.name,
        kind=ProviderKind(row.kind),
        base_url=row.base_url,
        has_api_key=bool(row.api_key),
    )


def model_view(row: Model) -> ModelView:
    return ModelView(
        id=row.id,
        name=row.name,
        provider=row.provider.name,
        kind=ModelKind(row.kind),
        tier=Tier(row.tier),
        context_window=row.context_window,
        native_tools=row.native_tools,
        dimensions=row.dimensions,
        price=Price(input=row.input_price, output=row.output_price),
    )


def route_view(row: Route) -> RouteView:
    return RouteView(
        id=row.id,
        name=row.name,
        kind=ModelKind(row.kind),
        targets=tuple(_target(target.model) for target in row.targets.all()),
        updated_at=row.updated_at,
    )


def _target(model: Model) -> Target:
    return Target(
        provider_id=model.provider_id,
        provider_kind=ProviderKind(model.provider.kind),
        base_url=model.provider.base_url,
        model=model_view(model),
    )
