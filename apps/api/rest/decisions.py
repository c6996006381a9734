"""Asking what policy would say, and whether the audit chain is whole. Asking does not act."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents import selectors as agents
from apps.api.rest import principals
from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import ObjectField, StrictSerializer
from apps.context import selectors as context
from apps.governance import selectors
from apps.governance.services import decisions
from apps.governance.types import Action, Decision, Outcome, Resource, ResourceKind
from apps.model_registry import selectors as models
from apps.tools import selectors as tools
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

_ASKABLE = [
    str(kind)
    for kind in (
        ResourceKind.PROJECT,
        ResourceKind.AGENT,
        ResourceKind.ROUTE,
        ResourceKind.TOOL,
        ResourceKind.SPACE,
    )
]


class ResourceBody(StrictSerializer):
    kind = serializers.ChoiceField(_ASKABLE)
    name = serializers.CharField(
        max_length=200, default="", allow_blank=True, help_text="Not needed for the project."
    )


class QuestionBody(StrictSerializer):
    action = serializers.ChoiceField([str(action) for action in Action])
    resource = ResourceBody()
    principal = serializers.CharField(
        max_length=200, default="", allow_blank=True, help_text=principals.HELP
    )
    facts = ObjectField(default=dict)

    def validate_facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        if not all(isinstance(value, str | bool | int) for value in facts.values()):
            raise serializers.ValidationError("A fact is a string, a boolean or a whole number.")
        return facts


class ObligationSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField([str(outcome) for outcome in Outcome])
    policy = serializers.CharField()
    parameters = ObjectField()


class AnswerSerializer(serializers.Serializer[Decision]):
    """What the decision point would answer. It decided nothing, so there is no id to look up."""

    decision = serializers.ChoiceField([str(o) for o in Outcome], source="outcome")
    obligations = ObligationSerializer(many=True)
    policies = serializers.ListField(child=serializers.CharField())
    facts = ObjectField()
    bundle = serializers.CharField()
    explain = serializers.CharField()


class AuditCheckSerializer(serializers.Serializer[Any]):
    """`head` is the hash of the last entry, `checked` how many entries were recomputed."""

    ok = serializers.BooleanField()
    checked = serializers.IntegerField()
    head = serializers.CharField()


class DecisionsView(ResourceView):
    tag = "governance"

    @extend_schema(
        operation_id="ask_decision",
        summary="Ask what policy would say",
        request=QuestionBody,
        responses=AnswerSerializer,
        examples=[
            OpenApiExample(
                "May the guide read the handbook?",
                {
                    "principal": "agent:guide",
                    "action": "context.read",
                    "resource": {"kind": "Space", "name": "handbook"},
                },
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(QuestionBody)
        asked = _scope_of(body["principal"], scope=self.scope)
        answer = decisions.ask(
            scope=asked,
            action=Action(body["action"]),
            resource=_resource(body["resource"], scope=self.scope),
            facts=body["facts"],
        )
        return self.shaped(AnswerSerializer, answer)


def _scope_of(text: str, *, scope: Scope) -> Scope:
    """The scope to ask for; asking for somebody else needs `policy.manage`."""
    principal = principals.find_principal(text, scope=scope)
    if principal is None or principal == scope.principal:
        return scope
    decisions.check(scope=scope, action=Action.POLICY_MANAGE, resource=Resource.project_of(scope))
    return scope.acting_as(principal)


def _resource(body: dict[str, str], *, scope: Scope) -> Resource:
    kind, name = ResourceKind(body["kind"]), body["name"]
    if kind is ResourceKind.PROJECT:
        return Resource.project_of(scope)
    if not name:
        raise InvalidInput(
            f"Name the {kind} that is asked about.",
            errors=[{"path": "/resource/name", "detail": "Must not be empty."}],
        )
    if kind is ResourceKind.TOOL:
        return tools.resource_of(tools.get_tool(scope=scope, name=name))
    found: Any
    if kind is ResourceKind.AGENT:
        found = agents.get_agent(scope=scope, name=name)
    elif kind is ResourceKind.ROUTE:
        found = models.get_visible_route(scope=scope, name=name)
    else:
        found = context.get_space(scope=scope, name=name)
    return Resource(kind=kind, id=found.id, name=name)


class AuditVerificationView(ResourceView):
    tag = "governance"

    @extend_schema(
        operation_id="verify_audit",
        summary="Recompute the audit chain",
        responses=AuditCheckSerializer,
    )
    def get(self, request: Request) -> Response:
        decisions.check(
            scope=self.scope,
            action=Action.POLICY_MANAGE,
            resource=Resource.project_of(self.scope),
        )
        check = selectors.verify_audit(organisation_id=self.scope.organisation_id)
        return self.shaped(AuditCheckSerializer, check)
