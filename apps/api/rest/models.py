"""Providers, models and routes. A credential goes in and never comes out."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import IdField, StrictSerializer, UsdField, refuse_repeated
from apps.api.rest.paging import PageQuery, page, pick
from apps.api.rest.schema import listed
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
from octavo.kernel.ids import Kind

MAX_TARGETS = 100
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


class ProviderSerializer(serializers.Serializer[ProviderView]):
    """A provider; its key is never shown."""

    id = IdField(Kind.PROVIDER)
    name = serializers.CharField()
    kind = serializers.ChoiceField(_PROVIDERS)
    base_url = serializers.CharField()
    has_api_key = serializers.BooleanField()


class PriceBody(StrictSerializer):
    """USD per million tokens."""

    input = UsdField()
    output = UsdField()


class ModelBody(StrictSerializer):
    provider = serializers.CharField(max_length=63)
    name = serializers.CharField(max_length=500)
    kind = serializers.ChoiceField(_KINDS)
    tier = serializers.ChoiceField(_TIERS, required=False)
    context_window = serializers.IntegerField(min_value=256, max_value=2**31 - 1, required=False)
    native_tools = serializers.BooleanField(required=False)
    dimensions = serializers.IntegerField(min_value=1, max_value=16_000, required=False)
    price = PriceBody(required=False)


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


class RouteBody(StrictSerializer):
    name = serializers.CharField(max_length=63)
    kind = serializers.ChoiceField(_KINDS, default=str(ModelKind.CHAT))
    targets = serializers.ListField(child=TargetBody(), allow_empty=False, max_length=MAX_TARGETS)

    def validate_targets(self, targets: list[dict[str, str]]) -> list[dict[str, str]]:
        refuse_repeated([f"{target['provider']}/{target['model']}" for target in targets])
        return targets


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
        tier, price = body.get("tier"), body.get("price")
        added = services.add_model(
            scope=self.scope,
            provider=body["provider"],
            name=body["name"],
            kind=ModelKind(body["kind"]),
            tier=Tier(tier) if tier else None,
            context_window=body.get("context_window"),
            native_tools=body.get("native_tools"),
            dimensions=body.get("dimensions"),
            price=Price(**price) if price else None,
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
        route = services.set_route(
            scope=self.scope,
            name=body["name"],
            kind=ModelKind(body["kind"]),
            targets=[(target["provider"], target["model"]) for target in body["targets"]],
        )
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
