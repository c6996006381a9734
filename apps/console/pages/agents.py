"""Agents: what each is, how it came to be so, and a form that saves the next version."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods

from apps.agents import selectors as agents
from apps.agents.services import definitions
from apps.agents.types import (
    HANDOFF_PREFIX,
    Access,
    AgentView,
    Definition,
    Limits,
    SpaceGrant,
    Strategy,
    WhenStuck,
)
from apps.console import diffing, presenting, web
from apps.context import selectors as context
from apps.governance.types import Action
from apps.model_registry import selectors as models
from apps.model_registry.types import ModelKind
from apps.orchestration import selectors as runs
from apps.orchestration.types.serving import RunFilter
from apps.tools import selectors as tools
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope

_MOST, _RECENT = 200, 8
_LIMITS = ("max_steps", "max_tokens", "max_cost_usd", "deadline_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """An agent as its form holds it: text as it was typed, until it can be read."""

    name: str = ""
    instructions: str = ""
    route: str = "default"
    tools: tuple[str, ...] = ()
    patterns: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    strategy: str = Strategy.AUTO
    output_schema: str = ""
    limits: Mapping[str, str]
    asks: bool = False
    remember: str = ""


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    shown = {
        "agents": agents.list_agents(scope=scope, limit=_MOST),
        "may_manage": web.may(scope, Action.AGENT_MANAGE),
    }
    return web.render(request, scope, "agents", shown)


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, name: str) -> HttpResponse:
    """One version; `?compare=3` lays it beside version 3."""
    agent = agents.get_agent(scope=scope, name=name, version=_number(request, "version"))
    other = _number(request, "compare")
    recent = runs.list_runs(scope=scope, wanted=RunFilter(agent=name), limit=_RECENT)
    shown = {
        "agent": agent,
        "text": text_of(agent.definition),
        "versions": agents.list_versions(scope=scope, name=name, limit=_MOST),
        "other": other,
        "diff": _diff(scope, agent, other) if other else None,
        "runs": [presenting.run_line(run) for run in recent],
        "may_manage": web.may(scope, Action.AGENT_MANAGE),
        "may_start": web.may(scope, Action.RUN_START),
    }
    return web.render(request, scope, "agent", shown)


def _diff(scope: Scope, agent: AgentView, other: int) -> list[diffing.Line]:
    before = agents.get_agent(scope=scope, name=agent.name, version=other)
    return diffing.compare(text_of(before.definition), text_of(agent.definition))


def text_of(definition: Definition) -> str:
    """A definition as lines that can be compared."""
    limits = definition.limits
    lines = [
        f"route: {definition.route}",
        f"strategy: {definition.strategy}",
        f"when stuck: {definition.when_stuck}",
        *(f"tool: {tool}" for tool in definition.tools),
        *(f"space: {grant.space} ({grant.access})" for grant in definition.spaces),
        *(f"{n}: {getattr(limits, n)}" for n in _LIMITS if getattr(limits, n) is not None),
    ]
    if definition.remember:
        lines.append(f"remember in: {definition.remember}")
    if definition.output_schema is not None:
        lines += ["output schema:", _json(definition.output_schema)]
    return "\n".join([*lines, "", definition.instructions])


@require_http_methods(["GET", "POST"])
@web.signed_in
def create(request: HttpRequest, scope: Scope) -> HttpResponse:
    if request.method == "GET":
        empty = Form(limits={"max_steps": str(Limits().max_steps)})
        return _form(request, scope, empty, is_new=True)
    form = _posted(request.POST, web.text_of(request.POST, "name", most=200))
    return _save(request, scope, form, is_new=True)


@require_http_methods(["GET", "POST"])
@web.signed_in
def edit(request: HttpRequest, scope: Scope, name: str) -> HttpResponse:
    agent = agents.get_agent(scope=scope, name=name)
    if request.method == "GET":
        return _form(request, scope, _filled(scope, agent), is_new=False)
    return _save(request, scope, _posted(request.POST, name), is_new=False)


def _save(request: HttpRequest, scope: Scope, form: Form, *, is_new: bool) -> HttpResponse:
    try:
        definition = _definition(form)
        saved = definitions.save_agent(
            scope=scope, name=form.name, definition=definition, create=is_new
        )
    except OctavoError as refusal:
        return _form(request, scope, form, is_new=is_new, refusal=refusal)
    return redirect("console:agent", name=saved.name)


def _form(
    request: HttpRequest,
    scope: Scope,
    form: Form,
    *,
    is_new: bool,
    refusal: OctavoError | None = None,
) -> HttpResponse:
    shown = {
        "form": form,
        "is_new": is_new,
        "all_tools": tools.list_tools(scope=scope),
        "others": _others(scope, form.name),
        "all_spaces": context.list_spaces(scope=scope, limit=_MOST),
        "routes": [r for r in models.list_routes(scope=scope) if r.kind is ModelKind.CHAT],
        "strategies": list(Strategy),
        "limit_names": _LIMITS,
        "refusal": refusal.detail if refusal else "",
        "errors": web.errors_of(refusal) if refusal else {},
    }
    return web.render(
        request, scope, "agent_form", shown, status=refusal.status if refusal else 200
    )


def _others(scope: Scope, name: str) -> list[dict[str, Any]]:
    """The other agents, each with the tools that ask it and that hand over to it."""
    found = agents.list_agents(scope=scope, limit=_MOST)
    names = sorted(agent.name for agent in found if agent.name != name)
    return [
        {"name": one, "ways": ((f"agent__{one}", "ask"), (f"{HANDOFF_PREFIX}{one}", "hand over"))}
        for one in names
    ]


def _filled(scope: Scope, agent: AgentView) -> Form:
    definition = agent.definition
    known = {tool.name for tool in tools.list_tools(scope=scope)}
    known |= {tool for other in _others(scope, agent.name) for tool, _ in other["ways"]}
    values = {name: getattr(definition.limits, name) for name in _LIMITS}
    schema = definition.output_schema
    return Form(
        name=agent.name,
        instructions=definition.instructions,
        route=definition.route,
        tools=tuple(tool for tool in definition.tools if tool in known),
        patterns=" ".join(tool for tool in definition.tools if tool not in known),
        reads=tuple(g.space for g in definition.spaces if g.access is Access.READ),
        writes=tuple(g.space for g in definition.spaces if g.access is Access.WRITE),
        strategy=definition.strategy,
        output_schema="" if schema is None else _json(schema),
        limits={name: "" if value is None else str(value) for name, value in values.items()},
        asks=definition.when_stuck is WhenStuck.ASK,
        remember=definition.remember,
    )


def _posted(posted: QueryDict, name: str) -> Form:
    grants = {key.removeprefix("space:"): value for key, value in posted.items()}
    return Form(
        name=name,
        instructions=web.text_of(posted, "instructions"),
        route=web.text_of(posted, "route", most=200),
        tools=tuple(posted.getlist("tools")),
        patterns=web.text_of(posted, "patterns"),
        reads=tuple(key for key, value in grants.items() if value == "read"),
        writes=tuple(key for key, value in grants.items() if value == "write"),
        strategy=web.text_of(posted, "strategy", most=20),
        output_schema=web.text_of(posted, "output_schema"),
        limits={limit: web.text_of(posted, limit, most=40) for limit in _LIMITS},
        asks="asks" in posted,
        remember=web.text_of(posted, "remember", most=200),
    )


def _definition(form: Form) -> Definition:
    """Raises `InvalidInput` naming the field that cannot be read."""
    if form.strategy not in list(Strategy):
        raise _wrong("/strategy", "choose one of the list.")
    return Definition(
        instructions=form.instructions,
        route=form.route,
        tools=tuple(dict.fromkeys([*form.tools, *form.patterns.split()])),
        spaces=(
            *(SpaceGrant(space=name, access=Access.READ) for name in form.reads),
            *(SpaceGrant(space=name, access=Access.WRITE) for name in form.writes),
        ),
        strategy=Strategy(form.strategy),
        output_schema=_schema(form.output_schema),
        limits=Limits(
            max_steps=_whole(form, "max_steps") or Limits().max_steps,
            max_tokens=_whole(form, "max_tokens"),
            max_cost_usd=_decimal(form, "max_cost_usd"),
            deadline_seconds=_whole(form, "deadline_seconds"),
        ),
        when_stuck=WhenStuck.ASK if form.asks else WhenStuck.FAIL,
        remember=form.remember,
    )


def _schema(text: str) -> Mapping[str, Any] | None:
    if not text:
        return None
    try:
        schema = orjson.loads(text)
    except ValueError as error:
        raise _wrong("/output_schema", f"is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise _wrong("/output_schema", "must be a JSON object.")
    return schema


def _whole(form: Form, name: str) -> int | None:
    text = form.limits[name]
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _wrong(f"/limits/{name}", "must be a whole number.")
    return int(text) if text else None


def _decimal(form: Form, name: str) -> Decimal | None:
    text = form.limits[name].removeprefix("$")
    try:
        value = Decimal(text) if text else None
    except InvalidOperation:
        raise _wrong(f"/limits/{name}", "must be an amount such as 0.50.") from None
    if value is not None and not value.is_finite():
        raise _wrong(f"/limits/{name}", "must be an amount such as 0.50.")
    return value


def _wrong(path: str, detail: str) -> InvalidInput:
    return InvalidInput(
        "The agent cannot be saved: correct the marked field.",
        errors=[{"path": path, "detail": detail}],
    )


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 9 else None
