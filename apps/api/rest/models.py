"""Providers, models and routes. A credential goes in and never comes out."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import IdField, StrictSerializer, UsdField, refuse_repeated
from apps.api.rest.paging import PageQuery, page, pick
from apps.api.rest.schema import listed
from apps.inference.services import health
from apps.inference.types import ProviderHealth, ServerLoad
from apps.model_registry import selectors, services
from apps.model_registry.types import (
    ModelKind,
    ModelView,
    Price,
    ProviderKind,
    ProviderView,
    RouteView,
    Tier,
)
from octavo.kernel import ids
from octavo.kernel.ids import Kind

MAX_TARGETS = 100
_PLAIN = ("context_window", "native_tools", "dimensions")
_KINDS = [str(kind) for kind in ModelKind]
_TIERS = [str(tier) for tier in Tier]
_PROVIDERS = [str(kind) for kind in ProviderKind]


class ProviderBody(StrictSerializer):
    name = serializers.CharField(max_length=63)
    kind = serializers.ChoiceField(_PROVIDERS)
    base_url = serializers.CharField(
        max_length=2000,
        default="",
        allow_blank=True,
        help_text="Where it speaks the OpenAI protocol, such as https://host/v1.",
    )
    api_key = serializers.CharField(max_length=4000, default="", allow_blank=True, write_only=True)


class ProviderChangeBody(StrictSerializer):
    base_url = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    api_key = serializers.CharField(
        max_length=4000,
        required=False,
        allow_blank=True,
        write_only=True,
        help_text="Needed again with another base_url; empty for none.",
    )


class ProviderSerializer(serializers.Serializer[ProviderView]):
    """A provider; its key is never shown."""

    id = IdField(Kind.PROVIDER)
    name = serializers.CharField()
    kind = serializers.ChoiceField(_PROVIDERS)
    base_url = serializers.CharField()
    has_api_key = serializers.BooleanField()


class LoadSerializer(serializers.Serializer[ServerLoad]):
    """What vLLM says of its work; shares are from 0 to 1."""

    running = serializers.IntegerField()
    waiting = serializers.IntegerField()
    kv_cache_use = serializers.FloatField(allow_null=True)
    prefix_hit_rate = serializers.FloatField(allow_null=True)


class HealthSerializer(serializers.Serializer[ProviderHealth]):
    """Whether a provider answers now; `problem` says why it does not."""

    provider = serializers.CharField()
    answers = serializers.BooleanField(source="is_answering")
    problem = serializers.CharField(allow_blank=True)
    latency_ms = serializers.IntegerField()
    models = serializers.ListField(child=serializers.CharField())
    version = serializers.CharField(allow_blank=True)
    load = LoadSerializer(allow_null=True)


class PriceBody(StrictSerializer):
    """USD per million tokens."""

    input = UsdField()
    output = UsdField()


class ModelChangeBody(StrictSerializer):
    """What is left out keeps its value."""

    kind = serializers.ChoiceField(_KINDS, required=False)
    tier = serializers.ChoiceField(_TIERS, required=False)
    context_window = serializers.IntegerField(min_value=256, max_value=2**31 - 1, required=False)
    native_tools = serializers.BooleanField(required=False)
    dimensions = serializers.IntegerField(min_value=1, max_value=16_000, required=False)
    price = PriceBody(required=False)


class ModelBody(ModelChangeBody):
    """A model by the name that its provider knows it by."""

    provider = serializers.CharField(max_length=63)
    name = serializers.CharField(max_length=500)
    kind = serializers.ChoiceField(_KINDS)


class ModelSerializer(serializers.Serializer[ModelView]):
    """A model of a provider, and what it can do."""

    id = IdField(Kind.MODEL)
    provider = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(_KINDS)
    tier = serializers.ChoiceField(_TIERS)
    context_window = serializers.IntegerField()
    native_tools = serializers.BooleanField()
    dimensions = serializers.IntegerField(allow_null=True)
    price = PriceBody()


class TargetBody(StrictSerializer):
    provider = serializers.CharField(max_length=63)
    model = serializers.CharField(max_length=500)


class RouteChangeBody(StrictSerializer):
    """All targets of a route, in the order in which a call tries them."""

    kind = serializers.ChoiceField(_KINDS, required=False)
    targets = serializers.ListField(child=TargetBody(), allow_empty=False, max_length=MAX_TARGETS)

    def validate_targets(self, targets: list[dict[str, str]]) -> list[dict[str, str]]:
        refuse_repeated([f"{target['provider']}/{target['model']}" for target in targets])
        return targets


class RouteBody(RouteChangeBody):
    """A route by its name."""

    name = serializers.CharField(max_length=63)


class TargetSerializer(serializers.Serializer[Any]):
    provider = serializers.CharField(source="model.provider")
    model = serializers.CharField(source="model.name")
    tier = serializers.ChoiceField(_TIERS, source="model.tier")


class RouteSerializer(serializers.Serializer[RouteView]):
    """A name that agents use, and the targets behind it in order."""

    id = IdField(Kind.ROUTE)
    name = serializers.CharField()
    kind = serializers.ChoiceField(_KINDS)
    tier = serializers.ChoiceField(_TIERS)
    targets = TargetSerializer(many=True)


class ProvidersView(ResourceView):
    tag = "models"

    @extend_schema(
        operation_id="create_provider",
        summary="Add a model provider",
        request=ProviderBody,
        responses={201: ProviderSerializer},
        examples=[
            OpenApiExample(
                "A vLLM server",
                {"name": "gpu", "kind": "vllm", "base_url": "http://10.0.0.5:8000/v1"},
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(ProviderBody)
        created = services.create_provider(
            scope=self.scope,
            name=body["name"],
            kind=ProviderKind(body["kind"]),
            base_url=body["base_url"],
            api_key=body["api_key"],
        )
        return self.shaped(ProviderSerializer, created, status=201)

    @extend_schema(
        operation_id="list_providers",
        summary="List providers",
        parameters=[PageQuery],
        responses=listed(ProviderSerializer),
    )
    def get(self, request: Request) -> Response:
        found = selectors.list_providers(scope=self.scope)
        return page(
            lambda limit, before: pick(found, limit, before),
            query=self.query(PageQuery),
            serializer=ProviderSerializer,
        )


class ProviderDetailView(ResourceView):
    tag = "models"

    @extend_schema(
        operation_id="get_provider", summary="Read a provider", responses=ProviderSerializer
    )
    def get(self, request: Request, name: str) -> Response:
        found = selectors.get_visible_provider(scope=self.scope, name=name)
        return self.shaped(ProviderSerializer, found)

    @extend_schema(
        operation_id="change_provider",
        summary="Change the address or key of a provider",
        request=ProviderChangeBody,
        responses=ProviderSerializer,
        examples=[OpenApiExample("A new key", {"api_key": "sk-…"}, request_only=True)],
    )
    def put(self, request: Request, name: str) -> Response:
        """What is left out stays as it is. A provider that was found at a start is yours from then
        on: a restart leaves it as it is.
        """
        changed = services.change_provider(
            scope=self.scope, name=name, **self.checked(ProviderChangeBody)
        )
        return self.shaped(ProviderSerializer, changed)

    @extend_schema(
        operation_id="delete_provider",
        summary="Delete a provider with its key and models",
        responses={204: None},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Answers 409 while a route leads to one of its models."""
        services.delete_provider(scope=self.scope, name=name)
        return Response(status=204)


class ProviderHealthView(ResourceView):
    tag = "models"

    @extend_schema(
        operation_id="check_provider",
        summary="Look whether a provider answers now, and how busy it is",
        responses=HealthSerializer,
    )
    def get(self, request: Request, name: str) -> Response:
        """Asks the provider for its list of models, and vLLM for its version and load."""
        return self.shaped(HealthSerializer, health.check_provider(scope=self.scope, name=name))


class ModelsView(ResourceView):
    tag = "models"

    @extend_schema(
        operation_id="add_model",
        summary="Register a model, or change one",
        request=ModelBody,
        responses={201: ModelSerializer},
        examples=[
            OpenApiExample(
                "A chat model",
                {"provider": "gpu", "name": "Qwen/Qwen3-8B", "kind": "chat", "tier": "standard"},
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(ModelBody)
        added = services.add_model(
            scope=self.scope,
            provider=body["provider"],
            name=body["name"],
            kind=ModelKind(body["kind"]),
            **_stated(body),
        )
        return self.shaped(ModelSerializer, added, status=201)

    @extend_schema(
        operation_id="list_models",
        summary="List models",
        parameters=[PageQuery],
        responses=listed(ModelSerializer),
    )
    def get(self, request: Request) -> Response:
        found = selectors.list_models(scope=self.scope)
        return page(
            lambda limit, before: pick(found, limit, before),
            query=self.query(PageQuery),
            serializer=ModelSerializer,
        )


def _stated(body: dict[str, Any]) -> dict[str, Any]:
    """What the caller says of a model, as the service takes it."""
    stated = {name: body[name] for name in _PLAIN if name in body}
    if "tier" in body:
        stated["tier"] = Tier(body["tier"])
    if "price" in body:
        stated["price"] = Price(**body["price"])
    return stated


class ModelDetailView(ResourceView):
    tag = "models"

    @extend_schema(operation_id="get_model", summary="Read a model", responses=ModelSerializer)
    def get(self, request: Request, model_id: str) -> Response:
        found = selectors.get_visible_model(scope=self.scope, model_id=_decoded(model_id))
        return self.shaped(ModelSerializer, found)

    @extend_schema(
        operation_id="change_model",
        summary="Change what a model is said to be",
        request=ModelChangeBody,
        responses=ModelSerializer,
        examples=[
            OpenApiExample(
                "Prices, in USD per million tokens",
                {"price": {"input": "0.15", "output": "0.6"}},
                request_only=True,
            )
        ],
    )
    def put(self, request: Request, model_id: str) -> Response:
        """What is left out stays as it is."""
        body = self.checked(ModelChangeBody)
        found = selectors.get_visible_model(scope=self.scope, model_id=_decoded(model_id))
        changed = services.add_model(
            scope=self.scope,
            provider=found.provider,
            name=found.name,
            kind=ModelKind(body.get("kind", found.kind)),
            **_stated(body),
        )
        return self.shaped(ModelSerializer, changed)

    @extend_schema(operation_id="delete_model", summary="Forget a model", responses={204: None})
    def delete(self, request: Request, model_id: str) -> Response:
        """Answers 409 while a route leads to it."""
        services.delete_model(scope=self.scope, model_id=_decoded(model_id))
        return Response(status=204)


def _decoded(model_id: str) -> UUID:
    return ids.decode(Kind.MODEL, model_id)


class RoutesView(ResourceView):
    tag = "models"

    @extend_schema(
        operation_id="set_route",
        summary="Point a route at models, the first that works being used",
        request=RouteBody,
        responses={201: RouteSerializer},
        examples=[
            OpenApiExample(
                "The default route",
                {"name": "default", "targets": [{"provider": "gpu", "model": "Qwen/Qwen3-8B"}]},
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(RouteBody)
        pointed = _pointed(body, otherwise=ModelKind.CHAT)
        route = services.set_route(scope=self.scope, name=body["name"], **pointed)
        return self.shaped(RouteSerializer, route, status=201)

    @extend_schema(
        operation_id="list_routes",
        summary="List routes",
        parameters=[PageQuery],
        responses=listed(RouteSerializer),
    )
    def get(self, request: Request) -> Response:
        found = selectors.list_routes(scope=self.scope)
        return page(
            lambda limit, before: pick(found, limit, before),
            query=self.query(PageQuery),
            serializer=RouteSerializer,
        )


def _pointed(body: dict[str, Any], *, otherwise: ModelKind) -> dict[str, Any]:
    """`otherwise` is the kind of the route where the body says none."""
    return {
        "kind": ModelKind(body.get("kind", otherwise)),
        "targets": [(target["provider"], target["model"]) for target in body["targets"]],
    }


class RouteDetailView(ResourceView):
    tag = "models"

    @extend_schema(operation_id="get_route", summary="Read a route", responses=RouteSerializer)
    def get(self, request: Request, name: str) -> Response:
        found = selectors.get_visible_route(scope=self.scope, name=name)
        return self.shaped(RouteSerializer, found)

    @extend_schema(
        operation_id="change_route",
        summary="Point a route at other models",
        request=RouteChangeBody,
        responses=RouteSerializer,
        examples=[
            OpenApiExample(
                "A model, and another for when it fails",
                {
                    "targets": [
                        {"provider": "gpu", "model": "Qwen/Qwen3-8B"},
                        {"provider": "openai", "model": "gpt-5.4-mini"},
                    ]
                },
                request_only=True,
            )
        ],
    )
    def put(self, request: Request, name: str) -> Response:
        """A `kind` that is left out stays as it is."""
        body = self.checked(RouteChangeBody)
        found = selectors.get_visible_route(scope=self.scope, name=name)
        pointed = _pointed(body, otherwise=found.kind)
        route = services.set_route(scope=self.scope, name=name, **pointed)
        return self.shaped(RouteSerializer, route)

    @extend_schema(operation_id="delete_route", summary="Delete a route", responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Answers 409 for `default` and `embedding`, which can only be pointed elsewhere."""
        services.delete_route(scope=self.scope, name=name)
        return Response(status=204)
