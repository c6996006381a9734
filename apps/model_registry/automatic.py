"""Routes that follow the environment of the installation: what a restart may change, and no more.

A route or provider that a person set is left as it is.
"""

from django.db import transaction

from apps.model_registry.addresses import builtin_url
from apps.model_registry.models import Model, Provider, Route
from apps.model_registry.rows import known_columns, point_route, record, stated_columns
from apps.model_registry.types import FoundModel, ModelKind, ProviderKind, Tier
from octavo.kernel.scope import Scope
from octavo.kernel.secrets import Secret, reveal

BUILTIN = "builtin"
BUILTIN_EMBEDDING = "all-minilm-l6-v2"
BUILTIN_DIMENSIONS = 384
ROUTES = ("default", "embedding")
"""What each start makes sure of."""


def ensure_routes(scope: Scope, found: FoundModel) -> None:
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


def _ensure_route(scope: Scope, name: str, model: Model) -> None:
    route = Route.objects.filter(project_id=scope.project_id, name=name).first()
    if route is not None:
        pointed = list(route.targets.values_list("model_id", flat=True))
        if not route.automatic or pointed == [model.id]:
            return
    point_route(scope, name, ModelKind(model.kind), [model], automatic=True)


def _ensure_model(
    scope: Scope, found: FoundModel, kind: ModelKind, *, dimensions: int | None = None
) -> Model:
    provider = _ensure_provider(scope, found)
    row = Model.objects.filter(provider=provider, name=found.name).first()
    if row is not None:
        return row
    stated = stated_columns(
        tier=found.tier, context_window=found.context_window, dimensions=dimensions
    )
    row, _ = Model.objects.get_or_create(
        provider=provider,
        name=found.name,
        defaults=known_columns(provider, found.name, kind) | stated,
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
        record(scope, "provider.found", found.provider, base_url=found.base_url)
    return row
