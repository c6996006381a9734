"""Budgets: what an organisation, team, project, agent, key or run may spend in a period."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import selectors as accounts
from apps.agents import selectors as agents
from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import IdField, StrictSerializer, TimeField, UsdField
from apps.api.rest.paging import PageQuery, page
from apps.api.rest.schema import listed
from apps.governance import selectors
from apps.governance.services import budgets
from apps.governance.types import BudgetScope, BudgetView, Limits, OnExceed, Period
from apps.orchestration import selectors as runs
from octavo.kernel import ids
from octavo.kernel.errors import NotFound
from octavo.kernel.ids import Kind
from octavo.kernel.scope import Scope

_ID_KINDS = {
    BudgetScope.ORGANISATION: Kind.ORGANISATION,
    BudgetScope.TEAM: Kind.TEAM,
    BudgetScope.PROJECT: Kind.PROJECT,
    BudgetScope.AGENT: Kind.AGENT,
    BudgetScope.KEY: Kind.KEY,
    BudgetScope.RUN: Kind.RUN,
}
_PERIODS = [str(period) for period in Period]
_WAYS = [str(way) for way in OnExceed]
_MOST = 2**63 - 1


class BudgetScopeBody(StrictSerializer):
    """Exactly one of these, by id or by name (a run by id)."""

    organisation = serializers.CharField(max_length=200, required=False)
    team = serializers.CharField(max_length=200, required=False)
    project = serializers.CharField(max_length=200, required=False)
    agent = serializers.CharField(max_length=200, required=False)
    key = serializers.CharField(max_length=200, required=False)
    run = serializers.CharField(max_length=200, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError(
                f'Name exactly one of {", ".join(BudgetScope)}, such as {{"project": "default"}}.'
            )
        return attrs


class LimitsBody(StrictSerializer):
    """At least one limit; 0 stops all calls, null does not bind."""

    limit_usd = UsdField(required=False, allow_null=True)
    limit_tokens = serializers.IntegerField(
        min_value=0, max_value=_MOST, required=False, allow_null=True
    )
    limit_calls = serializers.IntegerField(
        min_value=0, max_value=_MOST, required=False, allow_null=True
    )


class BudgetBody(LimitsBody):
    scope = BudgetScopeBody()
    period = serializers.ChoiceField(_PERIODS)
    on_exceed = serializers.ChoiceField(_WAYS, default=str(OnExceed.BLOCK))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if all(attrs.get(name) is None for name in ("limit_usd", "limit_tokens", "limit_calls")):
            raise serializers.ValidationError(
                "Give at least one of limit_usd, limit_tokens and limit_calls."
            )
        return attrs


class BudgetChangeBody(LimitsBody):
    """New limits, and what happens at them; a limit that is left out stays as it is."""

    on_exceed = serializers.ChoiceField(_WAYS, required=False)


class AmountSerializer(serializers.Serializer[Any]):
    usd = UsdField()
    tokens = serializers.IntegerField()
    calls = serializers.IntegerField()


class LeftSerializer(serializers.Serializer[Any]):
    """Null where no limit binds."""

    usd = UsdField(allow_null=True)
    tokens = serializers.IntegerField(allow_null=True)
    calls = serializers.IntegerField(allow_null=True)


class BudgetTargetSerializer(serializers.Serializer[Any]):
    """The one thing that is bounded, by its id."""

    organisation = serializers.CharField(required=False)
    team = serializers.CharField(required=False)
    project = serializers.CharField(required=False)
    agent = serializers.CharField(required=False)
    key = serializers.CharField(required=False)
    run = serializers.CharField(required=False)

    def to_representation(self, instance: BudgetView) -> dict[str, str]:
        return {str(instance.on): ids.encode(_ID_KINDS[instance.on], instance.target_id)}


class BudgetSerializer(serializers.Serializer[BudgetView]):
    """A budget with what its present period has spent, set aside for calls under way, and left."""

    id = IdField(Kind.BUDGET)
    scope = BudgetTargetSerializer(source="*")
    period = serializers.ChoiceField(_PERIODS)
    limit_usd = UsdField(allow_null=True)
    limit_tokens = serializers.IntegerField(allow_null=True)
    limit_calls = serializers.IntegerField(allow_null=True)
    on_exceed = serializers.ChoiceField(_WAYS)
    spent = AmountSerializer()
    reserved = AmountSerializer()
    left = LeftSerializer()
    resets_at = TimeField(allow_null=True)


class BudgetsView(ResourceView):
    tag = "governance"

    @extend_schema(
        operation_id="create_budget",
        summary="Set a budget",
        request=BudgetBody,
        responses={201: BudgetSerializer},
        examples=[
            OpenApiExample(
                "Ten dollars a day for the whole project",
                {"scope": {"project": "default"}, "period": "day", "limit_usd": "10"},
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(BudgetBody)
        ((on, named),) = body["scope"].items()
        created = budgets.create_budget(
            scope=self.scope,
            on=BudgetScope(on),
            target_id=_target_id(self.scope, BudgetScope(on), named),
            period=Period(body["period"]),
            limits=Limits(
                usd=body.get("limit_usd"),
                tokens=body.get("limit_tokens"),
                calls=body.get("limit_calls"),
            ),
            on_exceed=OnExceed(body["on_exceed"]),
        )
        return self.shaped(BudgetSerializer, created, status=201)

    @extend_schema(
        operation_id="list_budgets",
        summary="List budgets; those of single runs are left out",
        parameters=[PageQuery],
        responses=listed(BudgetSerializer),
    )
    def get(self, request: Request) -> Response:
        return page(
            lambda limit, before: selectors.list_budgets(
                scope=self.scope, limit=limit, before=before
            ),
            query=self.query(PageQuery),
            serializer=BudgetSerializer,
        )


class BudgetDetailView(ResourceView):
    tag = "governance"

    @extend_schema(operation_id="get_budget", summary="Read a budget", responses=BudgetSerializer)
    def get(self, request: Request, budget_id: str) -> Response:
        found = selectors.get_budget(scope=self.scope, budget_id=_id(budget_id))
        return self.shaped(BudgetSerializer, found)

    @extend_schema(
        operation_id="change_budget",
        summary="Change the limits of a budget; what is spent stays",
        request=BudgetChangeBody,
        responses=BudgetSerializer,
        examples=[OpenApiExample("A higher limit", {"limit_usd": "20"}, request_only=True)],
    )
    def patch(self, request: Request, budget_id: str) -> Response:
        body = self.checked(BudgetChangeBody)
        now = selectors.get_budget(scope=self.scope, budget_id=_id(budget_id))
        changed = budgets.change_budget(
            scope=self.scope,
            budget_id=now.id,
            limits=Limits(
                usd=body.get("limit_usd", now.limit_usd),
                tokens=body.get("limit_tokens", now.limit_tokens),
                calls=body.get("limit_calls", now.limit_calls),
            ),
            on_exceed=OnExceed(body["on_exceed"]) if "on_exceed" in body else None,
        )
        return self.shaped(BudgetSerializer, changed)

    @extend_schema(operation_id="delete_budget", summary="Delete a budget", responses={204: None})
    def delete(self, request: Request, budget_id: str) -> Response:
        budgets.delete_budget(scope=self.scope, budget_id=_id(budget_id))
        return Response(status=204)


def _id(text: str) -> UUID:
    return ids.decode(Kind.BUDGET, text)


def _target_id(scope: Scope, on: BudgetScope, named: str) -> UUID:
    """The id of what is named. Raises `NotFound` for what is not the caller's to see."""
    if on is BudgetScope.KEY:
        return accounts.get_key_id(scope=scope, name=named)
    if on is BudgetScope.RUN:
        return runs.get_run(scope=scope, run_id=ids.decode(Kind.RUN, named)).id
    if on is BudgetScope.AGENT:
        return _agent_id(scope, named)
    own_id, own_name = accounts.list_ground(scope=scope)[on]
    if named not in {own_name, ids.encode(_ID_KINDS[on], own_id)}:
        raise NotFound(f"There is no {on} {named!r} here. Yours is {own_name!r}.")
    return own_id


def _agent_id(scope: Scope, named: str) -> UUID:
    if not named.startswith(f"{Kind.AGENT}_"):
        return agents.get_agent(scope=scope, name=named).id
    agent_id = ids.decode(Kind.AGENT, named)
    if agent_id not in agents.agent_names(scope=scope, agent_ids=[agent_id]):
        raise NotFound(f"There is no agent {named} in this project. GET /api/v1/agents lists all.")
    return agent_id
