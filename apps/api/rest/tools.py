"""The tools of the project: what agents may be granted."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView
from apps.api.rest.fields import ObjectField
from apps.api.rest.paging import PageQuery, page
from apps.api.rest.schema import listed
from apps.tools import selectors
from apps.tools.types import Effect, Risk, ToolView, Trust


class ToolSerializer(serializers.Serializer[ToolView]):
    """A tool: its schema, and what a call of it may do."""

    name = serializers.CharField()
    description = serializers.CharField()
    input_schema = ObjectField()
    output_schema = ObjectField(allow_null=True)
    risk = serializers.ChoiceField([str(risk) for risk in Risk])
    egress = serializers.BooleanField()
    effect = serializers.ChoiceField([str(effect) for effect in Effect])
    trust = serializers.ChoiceField([str(trust) for trust in Trust])
    server = serializers.CharField()
    state = serializers.CharField()
    definition_hash = serializers.CharField()


class ToolsQuery(PageQuery):
    query = serializers.CharField(
        max_length=200, required=False, help_text="Words that the name or description contains."
    )


class ToolsView(ResourceView):
    tag = "tools"

    @extend_schema(
        operation_id="list_tools",
        summary="List tools by name",
        parameters=[ToolsQuery],
        responses=listed(ToolSerializer),
    )
    def get(self, request: Request) -> Response:
        query = self.query(ToolsQuery)
        words = query.get("query", "").lower().split()
        found = [
            tool
            for tool in selectors.list_tools(scope=self.scope)
            if all(word in f"{tool.name} {tool.description}".lower() for word in words)
        ]
        return page(
            lambda limit, after: found[after.int if after else 0 :][:limit],
            query=query,
            serializer=ToolSerializer,
            cursor_of=lambda tool: found.index(tool) + 1,
        )
