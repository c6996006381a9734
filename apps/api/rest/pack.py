"""What the spaces say about a question, packed into a text of bounded length."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, answered_once
from apps.api.rest.fields import StrictSerializer
from apps.context.services import packing
from apps.context.types import DropReason, Packed


class PackBody(StrictSerializer):
    query = serializers.CharField(max_length=4000)
    spaces = serializers.ListField(
        child=serializers.CharField(max_length=200), min_length=1, max_length=50
    )
    budget_tokens = serializers.IntegerField(
        min_value=packing.MIN_BUDGET, max_value=packing.MAX_BUDGET
    )


class PlaceSerializer(serializers.Serializer[Any]):
    """Characters `start` to `end` of that revision's text."""

    space = serializers.CharField(source="citation.space")
    key = serializers.CharField(source="citation.key")
    revision = serializers.IntegerField(source="citation.revision")
    chunk = serializers.IntegerField(source="citation.chunk")
    start = serializers.IntegerField(source="citation.start")
    end = serializers.IntegerField(source="citation.end")


class PassageSerializer(PlaceSerializer):
    """`[number]` in the text."""

    number = serializers.IntegerField()
    trust = serializers.CharField()


class DroppedSerializer(PlaceSerializer):
    """What was found and left out, to be opened by its place."""

    tokens = serializers.IntegerField()
    reason = serializers.ChoiceField([str(reason) for reason in DropReason])


class PackedSerializer(serializers.Serializer[Packed]):
    text = serializers.CharField()
    citations = PassageSerializer(many=True)
    tokens = serializers.IntegerField(help_text="Of the text, counted on the high side.")
    dropped = DroppedSerializer(many=True)
    degraded = serializers.ListField(child=serializers.CharField())


class PackView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="pack_context",
        summary="Pack what spaces say about a question",
        request=PackBody,
        responses=PackedSerializer,
        examples=[
            OpenApiExample(
                "A pack for a prompt",
                {"query": "add my own files", "spaces": ["handbook"], "budget_tokens": 800},
                request_only=True,
            )
        ],
    )
    @answered_once
    def post(self, request: Request) -> Response:
        body = self.checked(PackBody)
        packed = packing.pack(
            scope=self.scope,
            query=body["query"],
            spaces=body["spaces"],
            budget=body["budget_tokens"],
        )
        return self.shaped(PackedSerializer, packed)
