"""The tools of the project: what agents may be granted, and a person's word about each."""

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import ObjectField, StrictSerializer, TimeField, plain
from apps.api.rest.paging import PageQuery, page
from apps.api.rest.schema import listed
from apps.tools import selectors
from apps.tools.services import reviewing
from apps.tools.types import (
    Classes,
    Definition,
    Effect,
    Risk,
    ToolReview,
    ToolState,
    ToolView,
    Trust,
)

MAX_TIMEOUT = 3600
_RISKS = [str(risk) for risk in Risk]
_EFFECTS = [str(effect) for effect in Effect]
_UPSTREAM_EFFECTS = [str(e) for e in Effect if e is not Effect.SAME_DATABASE]
_TRUSTS = [str(trust) for trust in Trust]
_STATES = [str(state) for state in ToolState]


class ToolSerializer(serializers.Serializer[ToolView]):
    """A tool: its schema, what a call of it may do, and whether it is offered."""

    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    input_schema = ObjectField()
    output_schema = ObjectField(allow_null=True)
    risk = serializers.ChoiceField(_RISKS)
    egress = serializers.BooleanField()
    effect = serializers.ChoiceField(_EFFECTS)
    trust = serializers.ChoiceField(_TRUSTS)
    server = serializers.CharField()
    state = serializers.ChoiceField(_STATES)
    definition_hash = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())
    timeout_seconds = serializers.SerializerMethodField()
    missing_since = TimeField(allow_null=True)

    def get_timeout_seconds(self, tool: ToolView) -> float:
        return tool.timeout.total_seconds()


class DefinitionSerializer(serializers.Serializer[Definition]):
    """A definition as its server wrote it."""

    title = serializers.CharField()
    description = serializers.CharField()
    input_schema = ObjectField()
    output_schema = ObjectField(allow_null=True)
    annotations = ObjectField()
    hash = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())
    problem = serializers.CharField()


class DriftSerializer(serializers.Serializer[ToolReview]):
    """What was approved, and what the server shows instead."""

    pinned = DefinitionSerializer()
    seen = DefinitionSerializer()


class ToolReviewSerializer(ToolSerializer):
    """A tool with all that a person needs to judge it.

    `annotations` are the server's own claims, which nothing in Octavo believes.
    """

    upstream_name = serializers.CharField()
    annotations = ObjectField()
    reason = serializers.CharField(help_text="Why the tool is not offered; empty when it is.")
    drift = DriftSerializer(allow_null=True)
    approved_by = serializers.CharField()
    approved_at = TimeField(allow_null=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        drift = DriftSerializer(instance).data if instance.seen is not None else None
        return {
            **ToolSerializer(instance.tool).data,
            "upstream_name": instance.upstream_name,
            "annotations": plain(instance.annotations),
            "reason": instance.reason,
            "drift": drift,
            "approved_by": instance.approved_by,
            "approved_at": plain(instance.approved_at),
        }


class ClassesBody(StrictSerializer):
    """What a person says about a tool; what is left out keeps what was said before."""

    risk = serializers.ChoiceField(_RISKS, required=False)
    egress = serializers.BooleanField(
        required=False, help_text="Whether a call may send data outside."
    )
    effect = serializers.ChoiceField(_UPSTREAM_EFFECTS, required=False)
    trust = serializers.ChoiceField(_TRUSTS, required=False, help_text="Trust in its results.")
    timeout_seconds = serializers.IntegerField(min_value=1, max_value=MAX_TIMEOUT, required=False)


class ApproveDefinitionBody(ClassesBody):
    definition_hash = serializers.CharField(
        max_length=64,
        required=False,
        help_text="The hash of the definition that was looked at; another one is refused.",
    )


class QuarantineBody(StrictSerializer):
    why = serializers.CharField(max_length=2000)


class ToolsQuery(PageQuery):
    query = serializers.CharField(
        max_length=200, required=False, help_text="Words that the name or description contains."
    )
    server = serializers.CharField(
        max_length=20, required=False, help_text="`octavo` for the built-in tools."
    )
    state = serializers.ChoiceField(_STATES, required=False)
    risk = serializers.ChoiceField(_RISKS, required=False)


def classes_of(body: dict[str, Any]) -> Classes:
    seconds = body.get("timeout_seconds")
    return Classes(
        risk=Risk(body["risk"]) if "risk" in body else None,
        egress=body.get("egress"),
        effect=Effect(body["effect"]) if "effect" in body else None,
        trust=Trust(body["trust"]) if "trust" in body else None,
        timeout=timedelta(seconds=seconds) if seconds else None,
    )


def _matches(tool: ToolView, query: dict[str, Any]) -> bool:
    text = f"{tool.name} {tool.title} {tool.description}".lower()
    return all(word in text for word in query.get("query", "").lower().split()) and all(
        getattr(tool, field) == query[field]
        for field in ("server", "state", "risk")
        if field in query
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
        found = [t for t in selectors.list_tools(scope=self.scope) if _matches(t, query)]
        return page(
            lambda limit, after: found[after.int if after else 0 :][:limit],
            query=query,
            serializer=ToolSerializer,
            cursor_of=lambda tool: found.index(tool) + 1,
        )


class ToolDetailView(ResourceView):
    tag = "tools"

    @extend_schema(
        operation_id="get_tool",
        summary="Read a tool, and what its server has changed about it",
        responses=ToolReviewSerializer,
    )
    def get(self, request: Request, name: str) -> Response:
        found = selectors.get_review(scope=self.scope, name=name)
        return self.shaped(ToolReviewSerializer, found)


class ToolApprovalView(ResourceView):
    tag = "tools"

    @extend_schema(
        operation_id="approve_tool_definition",
        summary="Approve a tool as its server defines it now",
        request=ApproveDefinitionBody,
        responses=ToolReviewSerializer,
        examples=[
            OpenApiExample(
                "A tool that only reads",
                {"risk": "read", "egress": False, "effect": "pure"},
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        body = self.checked(ApproveDefinitionBody)
        approved = reviewing.approve_definition(
            scope=self.scope,
            name=name,
            classes=classes_of(body),
            definition_hash=body.get("definition_hash", ""),
        )
        return self.shaped(ToolReviewSerializer, approved)


class ToolQuarantineView(ResourceView):
    tag = "tools"

    @extend_schema(
        operation_id="quarantine_tool",
        summary="Withdraw a tool until it is approved again",
        request=QuarantineBody,
        responses=ToolReviewSerializer,
        examples=[
            OpenApiExample("Withdraw", {"why": "It deleted more than asked."}, request_only=True)
        ],
    )
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        withdrawn = reviewing.quarantine(
            scope=self.scope, name=name, why=self.checked(QuarantineBody)["why"]
        )
        return self.shaped(ToolReviewSerializer, withdrawn)
