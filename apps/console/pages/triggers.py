"""What starts runs by itself: schedules, hooks and event triggers, each with what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from apps.agents import selectors as agents
from apps.console import formatting, web
from apps.context import selectors as context
from apps.governance.types import Action
from apps.orchestration import selectors
from apps.orchestration.services import hooks, reacting, scheduling, triggers
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.triggers import (
    EventSettings,
    FiringOutcome,
    FiringView,
    HookSettings,
    Missed,
    NewHook,
    Overlap,
    ScheduleSettings,
    TriggerEvent,
    TriggerKind,
    TriggerSettings,
    TriggerView,
)
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput, NotFound, OctavoError
from octavo.kernel.scope import Scope

_MOST, _RECENT = 200, 50
_TONES = {
    FiringOutcome.STARTED: "ok",
    FiringOutcome.QUEUED: "wait",
    FiringOutcome.SKIPPED: "idle",
    FiringOutcome.FAILED: "bad",
    FiringOutcome.REFUSED: "bad",
}
_HOLDS = {"pause": triggers.pause_trigger, "resume": triggers.resume_trigger}
_FINAL = [status for status in RunStatus if status.is_final]


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringLine:
    firing: FiringView
    run: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A trigger in its list: `when` says in words what makes it fire."""

    trigger: TriggerView
    title: str
    when: str
    last: FiringLine | None


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    return _show(request, scope)


def _show(
    request: HttpRequest,
    scope: Scope,
    *,
    made: NewHook | None = None,
    refusal: OctavoError | None = None,
) -> HttpResponse:
    lists = {
        f"{kind}s": [
            _line(found) for found in selectors.list_triggers(scope=scope, kind=kind, limit=_MOST)
        ]
        for kind in TriggerKind
    }
    shown: dict[str, Any] = {
        **lists,
        "workflows": [flow.name for flow in selectors.list_workflows(scope=scope, limit=_MOST)],
        "agents": [agent.name for agent in agents.list_agents(scope=scope, limit=_MOST)],
        "spaces": [space.name for space in context.list_spaces(scope=scope, limit=_MOST)],
        "overlaps": list(Overlap),
        "missed": [Missed.RUN_ONCE, Missed.RUN_ALL, Missed.SKIP],
        "statuses": _FINAL,
        "may_manage": web.may(scope, Action.TRIGGER_MANAGE),
        "made": made,
        "url": f"{web.public_url()}/api/v1/hooks/{made.token}" if made else "",
        "posted": request.POST,
        "refusal": refusal.detail if refusal else "",
        "errors": web.errors_of(refusal) if refusal else {},
    }
    return web.render(request, scope, "triggers", shown, status=refusal.status if refusal else 200)


@require_POST
@web.signed_in
def create(request: HttpRequest, scope: Scope, kind: str) -> HttpResponse:
    """On its page when it worked, back with the refusal when not; a hook shows what is secret."""
    form = request.POST
    try:
        make = _MAKERS[TriggerKind(kind)]
    except ValueError:
        raise NotFound("There is no such kind of trigger. Reload the page.") from None
    try:
        made = make(scope, form)
    except OctavoError as refusal:
        return _show(request, scope, refusal=refusal)
    if isinstance(made, NewHook):
        return _show(request, scope, made=made)
    return redirect("console:trigger", trigger_id=made.public_id)


def _target(form: QueryDict, field: str) -> dict[str, str]:
    """The agent or the workflow that was chosen, as `agent:name` or `workflow:name`."""
    kind, _, name = web.text_of(form, field, most=220).partition(":")
    return {kind: name} if kind in {"agent", "workflow"} else {}


def _make_schedule(scope: Scope, form: QueryDict) -> TriggerView:
    seconds = web.text_of(form, "every_seconds", most=12)
    if seconds and not (seconds.isascii() and seconds.isdigit()):
        raise InvalidInput(
            "The interval is no number of seconds.",
            errors=[{"path": "/every_seconds", "detail": "must be a whole number."}],
        )
    return scheduling.create_schedule(
        scope=scope,
        **_target(form, "target"),
        input=web.text_of(form, "input"),
        cron=web.text_of(form, "cron", most=300) or None,
        every_seconds=int(seconds) if seconds else None,
        timezone=web.text_of(form, "timezone", most=100) or "UTC",
        overlap=_chosen(Overlap, form.get("overlap", ""), Overlap.SKIP),
        missed=_chosen(Missed, form.get("missed", ""), Missed.RUN_ONCE),
        name=web.text_of(form, "name", most=300),
    )


def _make_hook(scope: Scope, form: QueryDict) -> NewHook:
    return hooks.create_hook(
        scope=scope,
        **_target(form, "target"),
        secret=web.text_of(form, "secret", most=600),
        input_path=web.text_of(form, "input_path", most=600),
        name=web.text_of(form, "name", most=300),
    )


def _make_event(scope: Scope, form: QueryDict) -> TriggerView:
    on = _chosen(TriggerEvent, form.get("on", ""), TriggerEvent.ENTRY_WRITTEN)
    if on is TriggerEvent.ENTRY_WRITTEN:
        key = web.text_of(form, "key", most=600) or "*"
        found = EventSettings(on=on, space=web.text_of(form, "space", most=200), key=key)
    else:
        chosen = form.getlist("statuses")
        statuses = tuple(status for status in _FINAL if status in chosen)
        found = EventSettings(on=on, **_target(form, "source"), statuses=statuses)
    return reacting.create_event_trigger(
        scope=scope,
        **_target(form, "target"),
        settings=found,
        name=web.text_of(form, "name", most=300),
    )


_MAKERS: Mapping[TriggerKind, Callable[[Scope, QueryDict], TriggerView | NewHook]] = {
    TriggerKind.SCHEDULE: _make_schedule,
    TriggerKind.HOOK: _make_hook,
    TriggerKind.EVENT: _make_event,
}


def _chosen[T: (Overlap, Missed, TriggerEvent)](names: type[T], given: str, otherwise: T) -> T:
    return names(given) if given in list(names) else otherwise


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, trigger_id: str) -> HttpResponse:
    kind, found = _decoded(trigger_id)
    trigger = selectors.get_trigger(scope=scope, kind=kind, trigger_id=found)
    firings = selectors.list_firings(scope=scope, kind=kind, trigger_id=found, limit=_RECENT)
    settings = trigger.settings
    given = settings.input if isinstance(settings, ScheduleSettings) else None
    shown = {
        "line": _line(trigger),
        "firings": [_firing_line(firing) for firing in firings],
        "given": given if isinstance(given, str) else orjson.dumps(given).decode(),
        "is_schedule": kind is TriggerKind.SCHEDULE,
        "may_manage": web.may(scope, Action.TRIGGER_MANAGE),
    }
    return web.render(request, scope, "trigger", shown)


@require_POST
@web.signed_in
def act(request: HttpRequest, scope: Scope, trigger_id: str) -> HttpResponse:
    """Pause, resume, run now or delete: the button's value says which."""
    kind, found = _decoded(trigger_id)
    verb = request.POST.get("act", "")
    if verb == "delete":
        triggers.delete_trigger(scope=scope, kind=kind, trigger_id=found)
        return redirect("console:triggers")
    if verb == "run" and kind is TriggerKind.SCHEDULE:
        scheduling.run_now(scope=scope, schedule_id=found)
    elif verb in _HOLDS:
        _HOLDS[verb](scope=scope, kind=kind, trigger_id=found)
    return redirect("console:trigger", trigger_id=trigger_id)


def _decoded(trigger_id: str) -> tuple[TriggerKind, UUID]:
    for kind in TriggerKind:
        if trigger_id.startswith(f"{kind.id_kind}_"):
            return kind, ids.decode(kind.id_kind, trigger_id)
    raise NotFound(
        f"There is no trigger {trigger_id!r}. The list of triggers names those there are."
    )


def _line(trigger: TriggerView) -> Line:
    return Line(
        trigger=trigger,
        title=trigger.name or f"{trigger.kind} …{trigger.public_id[-6:]}",
        when=_when(trigger.settings),
        last=_firing_line(trigger.last) if trigger.last else None,
    )


def _firing_line(firing: FiringView) -> FiringLine:
    run = ids.encode(ids.Kind.RUN, firing.run_id) if firing.run_id else ""
    return FiringLine(firing=firing, run=run, tone=_TONES[firing.outcome])


def _when(settings: TriggerSettings) -> str:
    match settings:
        case ScheduleSettings(timing=timing) if timing.every_seconds:
            return f"every {formatting.duration(timedelta(seconds=timing.every_seconds))}"
        case ScheduleSettings(timing=timing):
            return f"{timing.cron} {timing.timezone}"
        case HookSettings(input_path=path):
            return f"signed delivery, {path}" if path else "signed delivery"
        case EventSettings(on=TriggerEvent.ENTRY_WRITTEN):
            return f"entry written: {settings.space}/{settings.key}"
        case EventSettings():
            source = settings.agent or settings.workflow or "any run"
            return f"run finished: {source}, {_any_of(settings.statuses)}"


def _any_of(statuses: tuple[RunStatus, ...]) -> str:
    return "however it ends" if set(statuses) == set(_FINAL) else " or ".join(statuses)
