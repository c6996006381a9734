"""Saving an agent: nobody can grant an agent what they may not use themselves.

Every save is a new version; what was saved before stays as it was.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction

from apps.agents import as_tools, codec
from apps.agents.models import Agent, AgentVersion
from apps.agents.selectors import get_agent_unchecked
from apps.agents.services import grants
from apps.agents.types import HANDOFF_PREFIX, Access, AgentView, Definition
from apps.context import selectors as context
from apps.governance.services import decisions
from apps.governance.types import Action, Outcome, Resource, ResourceKind
from apps.model_registry import selectors as model_registry
from apps.model_registry.types import ModelKind
from apps.tools import selectors as tools
from apps.tools.services import schemas
from octavo.kernel import audit, ids
from octavo.kernel.errors import Conflict, InvalidInput, NotFound
from octavo.kernel.scope import Scope

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_MOST_INSTRUCTIONS = 64_000
_MOST_STEPS = 1_000

Problem = Mapping[str, Any]


def save_agent(*, scope: Scope, name: str, definition: Definition, create: bool) -> AgentView:
    """Save a new agent (`create`) or a new version of an existing one.

    Raises `Conflict` when an agent to create exists, `NotFound` when one to change does not,
    `InvalidInput` with the path of each wrong field, and `Forbidden` when a policy keeps the saver
    from managing agents or from using what the definition grants.
    """
    agent = Agent.objects.filter(project_id=scope.project_id, name=name).first()
    resource = Resource(kind=ResourceKind.AGENT, id=agent.id if agent else ids.new(), name=name)
    decisions.check(scope=scope, action=Action.AGENT_MANAGE, resource=resource)
    _refuse_wrong_presence(name, agent, create=create)
    problems = list(_problems(scope, name, definition))
    if problems:
        raise InvalidInput(
            f"The definition of agent {name!r} cannot be saved: {problems[0]['detail']}",
            errors=problems,
        )
    _check_grants(scope, definition)
    _write(scope, resource, agent, definition)
    return get_agent_unchecked(scope=scope, name=name)


def _refuse_wrong_presence(name: str, agent: Agent | None, *, create: bool) -> None:
    if create and agent is not None:
        raise Conflict(
            f"Agent {name!r} exists, at version {agent.head}. PUT /api/v1/agents/{name} makes a "
            "new version of it.",
            head=agent.head,
        )
    if not create and agent is None:
        raise NotFound(f"There is no agent {name!r}. POST /api/v1/agents creates it.")


def _problems(scope: Scope, name: str, definition: Definition) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield _problem("/name", "use 1 to 63 lower-case letters, digits, '-' or '_'.")
    if not definition.instructions.strip():
        yield _problem("/instructions", "say in a sentence what the agent is for.")
    if len(definition.instructions) > _MOST_INSTRUCTIONS:
        yield _problem("/instructions", f"use at most {_MOST_INSTRUCTIONS} characters.")
    if definition.output_schema is not None:
        wrong = schemas.check_schema(schema=definition.output_schema)
        if wrong:
            yield _problem("/output_schema", wrong)
    yield from _limit_problems(definition)
    yield from _unknown_names(scope, definition)


def _limit_problems(definition: Definition) -> Iterator[Problem]:
    limits = definition.limits
    if not 1 <= limits.max_steps <= _MOST_STEPS:
        yield _problem("/limits/max_steps", f"use 1 to {_MOST_STEPS}.")
    for field in ("max_tokens", "max_cost_usd", "deadline_seconds"):
        value = getattr(limits, field)
        if value is not None and value <= 0:
            yield _problem(f"/limits/{field}", "use more than 0, or leave it out.")


def _unknown_names(scope: Scope, definition: Definition) -> Iterator[Problem]:
    try:
        kind = model_registry.get_route(scope=scope, name=definition.route).kind
        if kind is not ModelKind.CHAT:
            detail = f"route {definition.route!r} is for {kind} models; name one for chat models."
            yield _problem("/route", detail)
    except NotFound:
        yield _problem("/route", f"there is no route {definition.route!r}.")
    for index, pattern in enumerate(definition.tools):
        if not pattern.endswith("*") and tools.find_tool(scope=scope, name=pattern) is None:
            yield _problem(f"/tools/{index}", f"there is no tool {pattern!r}.")
    for index, grant in enumerate(definition.spaces):
        try:
            context.get_space(scope=scope, name=grant.space)
        except NotFound:
            yield _problem(f"/spaces/{index}/space", f"there is no space {grant.space!r}.")
    written = [grant.space for grant in definition.spaces if grant.access is Access.WRITE]
    if definition.remember and definition.remember not in written:
        named = ", ".join(written) or "none yet"
        yield _problem("/remember", f"name a space that the agent may write: {named}.")


def _problem(path: str, detail: str) -> Problem:
    return {"path": path, "detail": detail}


def _check_grants(scope: Scope, definition: Definition) -> None:
    for name in grants.routes_of(definition):
        resource = _route_resource(scope, name)
        decisions.check(scope=scope, action=Action.MODEL_CALL, resource=resource)
    _check_tools(scope, definition.tools)
    for grant in definition.spaces:
        space = context.get_space(scope=scope, name=grant.space)
        writes = grant.access is Access.WRITE
        decisions.check(
            scope=scope,
            action=Action.CONTEXT_WRITE if writes else Action.CONTEXT_READ,
            resource=Resource(kind=ResourceKind.SPACE, id=space.id, name=space.name),
        )


def _route_resource(scope: Scope, name: str) -> Resource:
    """Also for the embedding route of a project that has none yet: it is granted by its name."""
    try:
        route_id = model_registry.get_route(scope=scope, name=name).id
    except NotFound:
        route_id = ids.new()
    return Resource(kind=ResourceKind.ROUTE, id=route_id, name=name)


def _check_tools(scope: Scope, patterns: Sequence[str]) -> None:
    """Each tool by what it does; and each pattern as if a tool had its name, because it also grants
    tools that come later. A call that only needs a person's approval may be granted.
    """
    for tool in tools.list_granted(scope=scope, patterns=patterns):
        decision = decisions.decide(
            scope=scope,
            action=Action.TOOL_CALL,
            resource=tools.resource_of(tool),
            facts={"risk": tool.risk.value, "egress": tool.egress},
        )
        if decision.outcome is not Outcome.REQUIRE_APPROVAL:
            decision.require()
    for pattern in patterns:
        for prefix in (as_tools.PREFIX, HANDOFF_PREFIX):
            if pattern.startswith(prefix):
                _check_may_delegate(scope, pattern.removeprefix(prefix))
        if pattern.endswith("*"):
            future = Resource(kind=ResourceKind.TOOL, id=ids.new(), name=pattern)
            decisions.check(scope=scope, action=Action.TOOL_CALL, resource=future)


def _check_may_delegate(scope: Scope, name: str) -> None:
    agent = Agent.objects.filter(project_id=scope.project_id, name=name).first()
    resource = Resource(kind=ResourceKind.AGENT, id=agent.id if agent else ids.new(), name=name)
    decisions.check(scope=scope, action=Action.AGENT_DELEGATE, resource=resource)


@transaction.atomic
def _write(scope: Scope, resource: Resource, agent: Agent | None, definition: Definition) -> None:
    locked = Agent.objects.select_for_update().filter(id=agent.id).first() if agent else None
    number = locked.head + 1 if locked else 1
    if locked is None:
        locked = _create(scope, resource)
    AgentVersion.objects.create(
        agent=locked,
        number=number,
        definition=codec.to_json(definition),
        saved_by=scope.principal.name,
    )
    Agent.objects.filter(id=locked.id).update(head=number)
    audit.record(
        scope=scope,
        action=Action.AGENT_MANAGE,
        target=ids.encode(ids.Kind.AGENT, locked.id),
        payload={"name": resource.name, "version": number},
    )


def _create(scope: Scope, resource: Resource) -> Agent:
    try:
        with transaction.atomic():
            return Agent.objects.create(
                id=resource.id,
                organisation_id=scope.organisation_id,
                team_id=scope.team_id,
                project_id=scope.project_id,
                name=resource.name,
                head=1,
            )
    except IntegrityError:
        raise Conflict(f"Agent {resource.name!r} was created just now by someone else.") from None
