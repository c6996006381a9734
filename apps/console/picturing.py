"""The changing part of a run's page, drawn by one template for the first load and for every update.

It depends on the run and on what its viewer may do, not on who they are: viewers share it. Only the
token of its forms is each viewer's own, put in at the end.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.template.loader import render_to_string

from apps.agents import selectors as agents
from apps.console import charting, presenting, timeline, web
from apps.console.presenting import Ask
from apps.context import selectors as context
from apps.governance import selectors as governance
from apps.governance.types import Action, ApprovalStatus
from apps.orchestration import selectors as runs
from apps.orchestration.services import retrying
from apps.orchestration.types.runs import EventType, EventView, RunStatus, RunView
from apps.orchestration.types.serving import Explanation
from octavo.kernel import ids
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

MOST_EVENTS = 2000
_TOKEN = "token-of-the-viewer"  # noqa: S105  stands where each viewer's own token will


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a viewer may do with a run: equal rights see equal pictures."""

    project_id: UUID
    may_control: bool
    may_decide: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """`html` shows the run as event `seq` of its journal left it, in this `state`."""

    seq: int
    state: str
    is_final: bool
    html: str

    def html_for(self, request: HttpRequest) -> str:
        return self.html.replace(_TOKEN, get_token(request))


def rights_of(scope: Scope) -> Rights:
    return Rights(
        project_id=scope.project_id,
        may_control=web.may(scope, Action.RUN_CONTROL),
        may_decide=web.may(scope, Action.APPROVAL_DECIDE),
    )


def draw(scope: Scope, run_id: UUID, rights: Rights) -> Picture:
    """Raises `NotFound` for a run that the caller may not read."""
    run = runs.get_run(scope=scope, run_id=run_id)
    events = runs.list_events(scope=scope, run_id=run_id, limit=MOST_EVENTS)
    shown = {
        "run": presenting.run_line(run),
        "limit": _limit(scope, run),
        "timeline": timeline.draw(run, events),
        "rights": rights,
        "ask": find_ask(scope, run),
        "doubt": _find_open(run, events, "effect", EventType.EFFECT_UNKNOWN),
        "asked": _find_open(run, events, "input", EventType.INPUT_REQUESTED),
        "children": _children(scope, events),
        "why": _why(scope, run),
        "may_retry": run.agent is not None and run.status in retrying.UNSUCCESSFUL,
        "may_resume": run.status is RunStatus.QUARANTINED and run.parent is None,
        "is_paused": run.status is RunStatus.PAUSED,
        "chart": _chart(scope, run),
        "episode": _episode(scope, run),
        "is_cut": len(events) == MOST_EVENTS,
        "csrf_token": _TOKEN,
        **answer_of(scope, run, events),
    }
    html = render_to_string("console/_run.html", shown)
    return Picture(
        seq=events[-1].seq if events else 0,
        state=f"{run.status} {run.waiting_on.kind if run.waiting_on else ''}",
        is_final=run.status.is_final,
        html=html,
    )


def _episode(scope: Scope, run: RunView) -> str:
    """The address of the entry that the run left behind; "" where there is none to be read."""
    if not run.status.is_final or run.agent is None:
        return ""
    try:
        agent = agents.get_agent(scope=scope, name=run.agent, version=run.version)
        space, key = agent.definition.remember, context.episode_key(run_id=run.id)
        if space:
            context.get_entry(scope=scope, space=space, key=key)
    except NotFound:
        return ""
    return f"/context/{space}/entry/{key}" if space else ""


def _why(scope: Scope, run: RunView) -> Explanation | None:
    """Why it stands still, when it does."""
    why = runs.explain_run(scope=scope, run_id=run.id)
    return None if why.code in {"running", "ended"} else why


def find_ask(scope: Scope, run: RunView) -> Ask | None:
    """The approval that the run waits for."""
    waiting = run.waiting_on
    if waiting is None or waiting.kind != "approval":
        return None
    approval = governance.get_approval(
        scope=scope, approval_id=ids.decode(ids.Kind.APPROVAL, waiting.id)
    )
    is_pending = approval.status is ApprovalStatus.PENDING
    return presenting.ask_of(scope, approval) if is_pending else None


def _find_open(
    run: RunView, events: list[EventView], kind: str, asked_by: EventType
) -> EventView | None:
    """The event that asks what the run waits for, when it waits for something of this kind."""
    waiting = run.waiting_on
    if waiting is None or waiting.kind != kind:
        return None
    asked = [e for e in events if e.type is asked_by and e.step == waiting.id]
    return asked[-1] if asked else None


def _children(scope: Scope, events: list[EventView]) -> list[presenting.RunLine]:
    """The runs that this one has started, the newest first."""
    begins = {EventType.CHILD_STARTED, EventType.HANDED_OFF}
    started = [event.data["run"] for event in events if event.type in begins]
    found = runs.list_runs_of(
        scope=scope, run_ids=[ids.decode(ids.Kind.RUN, run) for run in started]
    )
    return [presenting.run_line(run) for run in found]


def _chart(scope: Scope, run: RunView) -> charting.Chart | None:
    """The graph of a workflow's run, as far as it is."""
    picture = runs.picture_run(scope=scope, run_id=run.id) if run.workflow else None
    return charting.chart_of(picture) if picture else None


def _limit(scope: Scope, run: RunView) -> Any:
    """The cost at which the run ends by itself; None when nothing was set."""
    if run.agent is None:
        return None
    found = agents.get_agent_unchecked(scope=scope, name=run.agent, version=run.version)
    return found.definition.limits.max_cost_usd


def answer_of(scope: Scope, run: RunView, events: list[EventView]) -> dict[str, Any]:
    """The answer with its sources, each with the words that it rests on."""
    output = run.output or {}
    texts = {
        _key(source["citation"]): source["text"]
        for event in events
        if event.type is EventType.CONTEXT_RETRIEVED
        for source in event.data["sources"]
    }
    citations = [
        {**citation, "text": texts.get(_key(citation), "")}
        for citation in output.get("citations", ())
    ]
    return {
        "answer": output.get("text"),
        "data": output.get("data"),
        "answered_by": output.get("answered_by"),
        "citations": citations,
        "failure": run.error,
    }


def _key(citation: Any) -> tuple[Any, ...]:
    return tuple(citation.get(name) for name in ("space", "key", "revision", "start", "end"))
