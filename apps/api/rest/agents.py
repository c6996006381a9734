"""Agents: versioned definitions. `PUT` never changes a version, it adds one."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents import selectors
from apps.agents.services import definitions
from apps.agents.types import Access, AgentView, Definition, Limits, SpaceGrant, Strategy, WhenStuck
from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import (
    IdField,
    ObjectField,
    StrictSerializer,
    TimeField,
    UsdField,
    refuse_repeated,
)
from apps.api.rest.paging import PageQuery, cursor_number, page
from apps.api.rest.schema import listed
from octavo.kernel.ids import Kind

MAX_GRANTS = 100
_EXAMPLE = {
    "name": "support",
    "instructions": "Answer from the handbook. Say so when it does not answer.",
    "tools": ["context_search", "context_open"],
    "spaces": [{"space": "handbook", "access": "read"}],
    "limits": {"max_steps": 12, "max_cost_usd": "0.50"},
}


class SpaceGrantBody(StrictSerializer):
    space = serializers.CharField(max_length=200)
    access = serializers.ChoiceField([str(a) for a in Access], default=str(Access.READ))


class LimitsBody(StrictSerializer):
    """What ends a run by itself."""

    max_steps = serializers.IntegerField(min_value=1, max_value=1000, default=Limits().max_steps)
    max_tokens = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, allow_null=True, default=None
    )
    max_cost_usd = UsdField(allow_null=True, default=None)
    deadline_seconds = serializers.IntegerField(
        min_value=1, max_value=366 * 86400, allow_null=True, default=None
    )


class DefinitionBody(StrictSerializer):
    """What an agent is, without its name."""

    instructions = serializers.CharField(trim_whitespace=False)
    route = serializers.CharField(max_length=200, default="default")
    tools = serializers.ListField(
        child=serializers.CharField(max_length=200),
        default=list,
        max_length=MAX_GRANTS,
        help_text="Tool names; a trailing `*` grants every tool that begins so.",
    )
    spaces = serializers.ListField(child=SpaceGrantBody(), default=list, max_length=MAX_GRANTS)
    strategy = serializers.ChoiceField([str(s) for s in Strategy], default=str(Strategy.AUTO))
    output_schema = ObjectField(
        allow_null=True, default=None, help_text="JSON Schema that `output.data` must satisfy."
    )
    limits = LimitsBody(default=dict)
    when_stuck = serializers.ChoiceField(
        [str(w) for w in WhenStuck],
        default=str(WhenStuck.FAIL),
        help_text="Whether a run that repeats itself, or whose model gives no answer, fails or asks"
        " a person.",
    )
    remember = serializers.CharField(
        max_length=200,
        allow_blank=True,
        default="",
        help_text="The space, of those that it may write, in which each run leaves an episode.",
    )

    def validate_tools(self, tools: list[str]) -> list[str]:
        refuse_repeated(tools)
        return tools

    def validate_spaces(self, spaces: list[dict[str, str]]) -> list[dict[str, str]]:
        refuse_repeated([grant["space"] for grant in spaces])
        return spaces


class AgentBody(DefinitionBody):
    name = serializers.CharField(max_length=64)


class AgentSerializer(serializers.Serializer[AgentView]):
    """An agent at one version."""

    id = IdField(Kind.AGENT)
    name = serializers.CharField()
    version = serializers.IntegerField()
    instructions = serializers.CharField(source="definition.instructions")
    route = serializers.CharField(source="definition.route")
    tools = serializers.ListField(child=serializers.CharField(), source="definition.tools")
    spaces = SpaceGrantBody(many=True, source="definition.spaces")
    strategy = serializers.ChoiceField([str(s) for s in Strategy], source="definition.strategy")
    output_schema = ObjectField(source="definition.output_schema", allow_null=True)
    limits = LimitsBody(source="definition.limits")
    when_stuck = serializers.ChoiceField(
        [str(w) for w in WhenStuck], source="definition.when_stuck"
    )
    remember = serializers.CharField(source="definition.remember")
    saved_by = serializers.CharField()
    created_at = TimeField()


class AgentQuery(StrictSerializer):
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, help_text="An older version."
    )


def _definition(body: Mapping[str, Any]) -> Definition:
    return Definition(
        instructions=body["instructions"],
        route=body["route"],
        tools=tuple(body["tools"]),
        spaces=tuple(
            SpaceGrant(space=grant["space"], access=Access(grant["access"]))
            for grant in body["spaces"]
        ),
        strategy=Strategy(body["strategy"]),
        output_schema=body["output_schema"],
        limits=Limits(**{**_NO_LIMITS, **body["limits"]}),
        when_stuck=WhenStuck(body["when_stuck"]),
        remember=body["remember"],
    )


_NO_LIMITS = {"max_tokens": None, "max_cost_usd": None, "deadline_seconds": None}


class AgentsView(ResourceView):
    tag = "agents"

    @extend_schema(
        operation_id="create_agent",
        summary="Create an agent",
        request=AgentBody,
        responses={201: AgentSerializer},
        examples=[OpenApiExample("An agent with one space", _EXAMPLE, request_only=True)],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(AgentBody)
        saved = definitions.save_agent(
            scope=self.scope, name=body["name"], definition=_definition(body), create=True
        )
        return self.shaped(AgentSerializer, saved, status=201)

    @extend_schema(
        operation_id="list_agents",
        summary="List agents, each at its newest version",
        parameters=[PageQuery],
        responses=listed(AgentSerializer),
    )
    def get(self, request: Request) -> Response:
        return page(
            lambda limit, before: selectors.list_agents(
                scope=self.scope, limit=limit, before=before
            ),
            query=self.query(PageQuery),
            serializer=AgentSerializer,
        )


class AgentDetailView(ResourceView):
    tag = "agents"

    @extend_schema(
        operation_id="get_agent",
        summary="Read an agent",
        parameters=[AgentQuery],
        responses=AgentSerializer,
    )
    def get(self, request: Request, name: str) -> Response:
        version = self.query(AgentQuery).get("version")
        found = selectors.get_agent(scope=self.scope, name=name, version=version)
        return self.shaped(AgentSerializer, found)

    @extend_schema(
        operation_id="save_agent_version",
        summary="Save a new version of an agent",
        request=DefinitionBody,
        responses=AgentSerializer,
        examples=[
            OpenApiExample(
                "A new version",
                {key: value for key, value in _EXAMPLE.items() if key != "name"},
                request_only=True,
            )
        ],
    )
    def put(self, request: Request, name: str) -> Response:
        selectors.get_agent(scope=self.scope, name=name)
        saved = definitions.save_agent(
            scope=self.scope,
            name=name,
            definition=_definition(self.checked(DefinitionBody)),
            create=False,
        )
        return self.shaped(AgentSerializer, saved)


class AgentVersionsView(ResourceView):
    tag = "agents"

    @extend_schema(
        operation_id="list_agent_versions",
        summary="List the versions of an agent, newest first",
        parameters=[PageQuery],
        responses=listed(AgentSerializer),
    )
    def get(self, request: Request, name: str) -> Response:
        return page(
            lambda limit, before: selectors.list_versions(
                scope=self.scope, name=name, limit=limit, before=cursor_number(before)
            ),
            query=self.query(PageQuery),
            serializer=AgentSerializer,
            cursor_of=lambda view: view.version,
        )
