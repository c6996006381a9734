"""Search over spaces, every hit with the place it came from."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, answered_once
from apps.api.rest.fields import ObjectField, StrictSerializer
from apps.api.rest.moments import MomentField
from apps.context.services import searching
from apps.context.types import SearchHit, SearchMode


class SearchBody(StrictSerializer):
    query = serializers.CharField(max_length=4000)
    spaces = serializers.ListField(
        child=serializers.CharField(max_length=200), min_length=1, max_length=50
    )
    k = serializers.IntegerField(min_value=1, max_value=100, default=10)
    mode = serializers.ChoiceField([str(m) for m in SearchMode], default=str(SearchMode.HYBRID))
    as_of = MomentField(
        allow_null=True,
        default=None,
        help_text="Search what stood then: a time or, for one space, its sequence number.",
    )
    filter = ObjectField(
        allow_null=True,
        default=None,
        help_text="{field: {operator: value}}; `and`, `or` and `not` nest.",
    )
    rerank = serializers.CharField(
        max_length=63,
        default="none",
        help_text="The name of a route to a reranker, or `none`.",
    )


class CitationSerializer(serializers.Serializer[Any]):
    """Characters `start` to `end` of that revision's text."""

    space = serializers.CharField()
    key = serializers.CharField()
    revision = serializers.IntegerField()
    chunk = serializers.IntegerField()
    start = serializers.IntegerField()
    end = serializers.IntegerField()


class HitSerializer(serializers.Serializer[SearchHit]):
    space = serializers.CharField(source="citation.space")
    key = serializers.CharField(source="citation.key")
    revision = serializers.IntegerField(source="citation.revision")
    chunk = serializers.IntegerField(source="citation.chunk")
    text = serializers.CharField()
    score = serializers.FloatField(help_text="0 to 1, comparable within one search only.")
    citation = CitationSerializer()
    metadata = ObjectField()
    trust = serializers.CharField()
    legs = serializers.DictField(
        child=serializers.FloatField(),
        help_text="What each way of searching says: `dense`, `lexical`, `rerank`.",
    )


class SearchResultSerializer(serializers.Serializer[Any]):
    results = HitSerializer(many=True, source="hits")
    as_of = serializers.DictField(
        child=serializers.IntegerField(), help_text="The sequence number of each searched space."
    )
    degraded = serializers.ListField(
        child=serializers.CharField(),
        help_text="`dense` while no embedding model answers: the words alone were searched. "
        "`rerank` while no reranker does.",
    )


class SearchView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="search_context",
        summary="Search spaces",
        request=SearchBody,
        responses=SearchResultSerializer,
        examples=[
            OpenApiExample(
                "Ask the handbook",
                {"query": "add my own files", "spaces": ["handbook"], "k": 5},
                request_only=True,
            )
        ],
    )
    @answered_once
    def post(self, request: Request) -> Response:
        body = self.checked(SearchBody)
        found = searching.search(
            scope=self.scope,
            query=body["query"],
            spaces=body["spaces"],
            limit=body["k"],
            mode=SearchMode(body["mode"]),
            as_of=body["as_of"],
            where=body["filter"],
            rerank="" if body["rerank"] == "none" else body["rerank"],
        )
        return self.shaped(SearchResultSerializer, found)
