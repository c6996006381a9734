"""Go on from a step of a run in another way, and see two runs side by side."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods

from apps.agents import selectors as agents
from apps.console import diffing, formatting, presenting, web
from apps.console.diffing import Line
from apps.model_registry import selectors as registry
from apps.orchestration import selectors as runs
from apps.orchestration.services import forking
from apps.orchestration.types.histories import Edit, Side, StepPair
from apps.orchestration.types.runs import EventType, EventView, RunView
from octavo.kernel import ids
from octavo.kernel.errors import NotFound, OctavoError
from octavo.kernel.scope import Scope

_EDITABLE = {EventType.MODEL_ANSWERED, EventType.TOOL_ANSWERED}
_MOST_EVENTS = 2000


@require_http_methods(["GET", "POST"])
@web.signed_in
def fork(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    """The form of a fork at `?step=`, filled with what the run had; on its page when it worked."""
    run = runs.get_run(scope=scope, run_id=_decoded(run_id))
    event = _result(scope, run, request.GET.get("step", ""))
    was = {"input": _text(run.input), "output": _output(event)}
    form: dict[str, Any] = {**was, "route": run.given_route, "version": str(run.version)}
    if request.method == "GET":
        return web.render(request, scope, "fork", _shown(scope, run, event, form))
    names = ("input", "output", "route", "version", "dry_run")
    form = {name: web.text_of(request.POST, name) for name in names}
    try:
        made = forking.fork_run(
            scope=scope,
            run_id=run.id,
            at_step=event.step,
            input=_input(run, form["input"], was["input"]),
            version=int(form["version"]) if form["version"].isdecimal() else None,
            route=form["route"],
            edits=_edits(event, form["output"], was["output"]),
            dry_run=form["dry_run"] == "yes",
        )
    except OctavoError as refusal:
        shown = {**_shown(scope, run, event, form), "refusal": refusal.detail}
        return web.render(request, scope, "fork", shown, status=refusal.status)
    return redirect("console:run", run_id=ids.encode(ids.Kind.RUN, made.id))


def _result(scope: Scope, run: RunView, step: str) -> EventView:
    for event in runs.list_events(scope=scope, run_id=run.id, limit=_MOST_EVENTS):
        if event.step == step and event.type in _EDITABLE | {EventType.CONTEXT_RETRIEVED}:
            return event
    raise NotFound(f"This run has no finished step {step!r}. Open the run to see its steps.")


def _output(event: EventView) -> str:
    """What can be edited: the words, or the calls that a model asked for."""
    if event.type not in _EDITABLE:
        return ""
    message = event.data["message"]
    if not message.get("tool_calls"):
        return str(message["content"])
    calls = [
        {"name": c["name"], "arguments": _parsed(c["arguments"])} for c in message["tool_calls"]
    ]
    return presenting.as_json({"content": message["content"], "tool_calls": calls})


def _input(run: RunView, given: str, was: str) -> Any:
    """None where it is the parent's; an object stays one."""
    if given == was.strip():
        return None
    parsed = _parsed(given)
    return parsed if isinstance(parsed, dict) and not isinstance(run.input, str) else given


def _edits(event: EventView, given: str, was: str) -> list[Edit]:
    if event.type not in _EDITABLE or given == was.strip():
        return []
    parsed = _parsed(given)
    is_model = event.type is EventType.MODEL_ANSWERED
    is_calls = is_model and isinstance(parsed, dict) and "tool_calls" in parsed
    return [Edit(step=event.step, output=parsed if is_calls else given)]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(scope: Scope, run: RunView, event: EventView, form: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": presenting.run_line(run),
        "event": event,
        "is_editable": event.type in _EDITABLE,
        "form": form,
        "routes": registry.list_callable_routes(scope=scope) if run.agent else [],
        "versions": _versions(scope, run),
    }


def _versions(scope: Scope, run: RunView) -> list[int]:
    if run.workflow is not None:
        found = runs.list_workflow_versions(scope=scope, name=run.workflow)
        return [one.version for one in found]
    return [one.version for one in agents.list_versions(scope=scope, name=run.agent or "")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """One run at the head of the comparison."""

    line: presenting.RunLine
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A pair of steps as shown; what differs is laid side by side line by line."""

    pair: StepPair
    tone: str
    said: str
    asked: list[Line]
    answered: list[Line]
    left: str
    right: str


@require_GET
@web.signed_in
def compare(request: HttpRequest, scope: Scope) -> HttpResponse:
    """Runs `?a=` and `?b=` beside each other."""
    a, b = (_decoded(request.GET.get(name, "")) for name in ("a", "b"))
    diff = runs.compare_runs(scope=scope, a=a, b=b)
    shown = {
        "columns": [
            _Column(line=presenting.run_line(run), address=ids.encode(ids.Kind.RUN, run.id))
            for run in (diff.a, diff.b)
        ],
        "diff": diff,
        "steps": [_step(pair) for pair in diff.steps],
        "outputs": diffing.compare(_answer(diff.a), _answer(diff.b)),
    }
    return web.render(request, scope, "compare", shown)


def _step(pair: StepPair) -> _Step:
    a, b = pair.a, pair.b
    if a is None or b is None:
        said = "only right" if a is None else "only left"
    else:
        said = "alike" if not pair.differs else f"{' and '.join(pair.differs)} differ"
        said = said.replace("put differ", "put differs") if len(pair.differs) == 1 else said
    return _Step(
        pair=pair,
        tone="ok" if not pair.differs else "wait",
        said=said,
        asked=diffing.compare(_json(a and a.input), _json(b and b.input)),
        answered=diffing.compare(_json(a and a.output), _json(b and b.output)),
        left=_facts(a),
        right=_facts(b),
    )


def _facts(side: Side | None) -> str:
    if side is None:
        return "-"
    parts = [formatting.duration(timedelta(milliseconds=side.duration_ms))]
    if side.input_tokens or side.output_tokens:
        parts.append(f"{side.input_tokens:,} → {side.output_tokens:,} tok")
    if side.cost_usd:
        parts.append(formatting.money(side.cost_usd))
    return " · ".join([*parts, *(["inherited"] if side.inherited else [])])


def _json(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _answer(run: RunView) -> str:
    found = run.output or {}
    return str(found.get("text") or (run.error or {}).get("detail") or "")


def _decoded(run_id: str) -> UUID:
    return ids.decode(ids.Kind.RUN, run_id)
