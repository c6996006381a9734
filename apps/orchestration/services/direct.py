"""A tool call outside an agent's run is a durable run of one step: same journal, policy, approval
and trace. It begins in the process that was asked for it; any worker can go on with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.governance.types import Decision, Outcome
from apps.orchestration import activation as activations
from apps.orchestration import journal, leases, records, single_call
from apps.orchestration.activation import Activation
from apps.orchestration.records import Ended, Head, RunFacts
from apps.orchestration.selectors import get_run_with_events
from apps.orchestration.services import control, engine
from apps.orchestration.steps.deciding import decide_on_tool, facts_of
from apps.orchestration.types.runs import EventType, EventView, RunView, ToolAnswer, ToolCallView
from apps.tools import selectors as tools
from apps.tools.services import schemas
from apps.tools.types import ProgressSink, ToolView
from octavo.kernel import ids
from octavo.kernel.errors import Forbidden, InvalidInput, NotFound
from octavo.kernel.scope import Scope

_LARGEST_ARGUMENTS = 1_000_000
_MOST_METADATA_BYTES = 16_000
_UNGRANTED = ("default-deny",)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCall:
    """A call that is journaled and claimed by this process, and not made yet."""

    run: RunFacts
    head: Head
    decision: Decision
    session: str
    metadata: Mapping[str, Any]
    began_at: datetime


def call_tool(
    *,
    scope: Scope,
    tool: str,
    arguments: Mapping[str, Any],
    session: str = "",
    metadata: Mapping[str, Any] | None = None,
    traceparent: str = "",
    on_progress: ProgressSink | None = None,
    autonomous: bool = False,
) -> ToolCallView:
    """Make the call in this thread; returns when it is answered, waits for someone or is handed on.

    Raises what `open_call` raises; afterwards nothing: the run says how it went.
    """
    opened = open_call(
        scope=scope,
        tool=tool,
        arguments=arguments,
        session=session,
        metadata=metadata,
        traceparent=traceparent,
        autonomous=autonomous,
    )
    return make_call(scope=scope, opened=opened, on_progress=on_progress)


def open_call(
    *,
    scope: Scope,
    tool: str,
    arguments: Mapping[str, Any],
    session: str = "",
    metadata: Mapping[str, Any] | None = None,
    traceparent: str = "",
    autonomous: bool = False,
) -> OpenedCall:
    """Check and journal the call. If this process dies before it is made, a worker makes it.

    `autonomous`: a model chose the call. Raises `NotFound` (no such tool, or not for the caller),
    `InvalidInput` with a path for each wrong argument, and `Forbidden`; then there is no run.
    """
    run_id = ids.new()
    asking = replace(scope, run_id=run_id, is_autonomous=scope.is_autonomous or autonomous)
    view = _usable(scope, tool)
    decision = decide_on_tool(asking, view, facts_of(view, tainted=False), step=_STEP)
    _require_not_refused(decision, tool)
    _check(view, arguments, metadata or {})
    run = RunFacts(
        id=run_id,
        organisation_id=scope.organisation_id,
        team_id=scope.team_id,
        project_id=scope.project_id,
        tool=view.name,
        starter=scope.principal,
        key_id=scope.key_id,
        key_scopes=scope.key_scopes,
        is_autonomous=asking.is_autonomous,
        strategy="call",
        input=dict(arguments),
    )
    given = {"session": session, "metadata": dict(metadata or {}), "traceparent": traceparent}
    head = journal.begin_call(run, owner=leases.OWNER, given=given)
    return OpenedCall(
        run=run,
        head=head,
        decision=decision,
        session=session,
        metadata=dict(metadata or {}),
        began_at=head.now,
    )


def make_call(
    *, scope: Scope, opened: OpenedCall, on_progress: ProgressSink | None = None
) -> ToolCallView:
    """Make a call that was opened in a transaction which has committed since."""

    answered: list[Activation] = []

    def load(lease: leases.Lease) -> Activation:
        activation = activations.begin(opened.run, opened.head, lease)
        activation.decided, activation.on_progress = opened.decision, on_progress
        answered.append(activation)
        return activation

    ended = engine.drive(opened.run, opened.head, load)
    program = answered[0].program if answered else None
    data = program.answered if isinstance(program, single_call.SingleCall) else None
    if ended is None or data is None:
        return get_call(scope=scope, run_id=opened.run.id)
    outcome, policies = _decided(data)
    return ToolCallView(
        run=_ended_run(opened, ended),
        answer=_answer(data),
        outcome=outcome,
        policies=policies,
    )


def _ended_run(opened: OpenedCall, ended: Ended) -> RunView:
    """What the database would say of a call that this activation has begun and ended."""
    run = opened.run
    return RunView(
        id=run.id,
        agent=None,
        version=None,
        tool=run.tool,
        status=ended.status,
        input=run.input,
        output=ended.output,
        error=ended.error,
        waiting_on=None,
        steps=1,
        input_tokens=0,
        output_tokens=0,
        cost_usd=Decimal(0),
        trace_id=ids.trace_id(run.id),
        started_by=run.starter.name if run.starter else "",
        session=opened.session,
        metadata=opened.metadata,
        parent=None,
        created_at=opened.began_at,
        started_at=opened.began_at,
        finished_at=ended.at,
    )


def resume_call(
    *, scope: Scope, run_id: UUID, on_progress: ProgressSink | None = None
) -> ToolCallView:
    """Go on with the call in this thread, if what it waited for has come; else how it stands."""
    before = get_call(scope=scope, run_id=run_id)
    waiting = before.run.waiting_on
    if waiting is not None and waiting.kind == "approval":
        control.redeliver_approval(run_id=run_id, approval=waiting.id)
    engine.advance(run_id=str(run_id), on_progress=on_progress)
    return get_call(scope=scope, run_id=run_id)


def get_call(*, scope: Scope, run_id: UUID) -> ToolCallView:
    """How a call stands. Its caller may always read it; anybody else needs `run.read`.

    Raises `NotFound`, also for a run that is no tool call.
    """
    run, events = get_run_with_events(scope=scope, run_id=run_id)
    if not run.tool:
        name = ids.encode(ids.Kind.RUN, run_id)
        raise NotFound(f"{name} is a run of {run.subject!r}, not a tool call.")
    answered = next((e for e in events if e.type is EventType.TOOL_ANSWERED), None)
    outcome, policies = _judged(events)
    return ToolCallView(
        run=run,
        answer=_answer(answered.data) if answered else None,
        outcome=outcome,
        policies=policies,
    )


def _answer(data: Mapping[str, Any]) -> ToolAnswer:
    return ToolAnswer(
        text=data["message"]["content"],
        structured=data.get("structured"),
        is_error=data["is_error"],
        trust=data["trust"],
        evidence=tuple(data["evidence"]),
    )


def _judged(events: list[EventView]) -> tuple[str, tuple[str, ...]]:
    """What the policies said last: in the answer, or in the question that waits for a person."""
    for event in reversed(events):
        if event.type is EventType.TOOL_ANSWERED and event.data.get("decision"):
            return _decided(event.data)
        if event.type is EventType.APPROVAL_REQUESTED:
            return Outcome.REQUIRE_APPROVAL.value, tuple(event.data["policy"].split(", "))
    return "", ()


def _decided(answered: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    decision = answered.get("decision") or {"outcome": "", "policies": ()}
    return decision["outcome"], tuple(decision["policies"])


_STEP = single_call.CALL_STEP


def _usable(scope: Scope, name: str) -> ToolView:
    found = tools.find_callable(scope=scope, name=name)
    if found is None:
        raise _no_tool(name)
    return found


def _require_not_refused(decision: Decision, name: str) -> None:
    if decision.outcome in {Outcome.ALLOW, Outcome.REQUIRE_APPROVAL}:
        return
    if decision.policies == _UNGRANTED:
        raise _no_tool(name)
    raise Forbidden(decision.explain, policies=decision.policies)


def _no_tool(name: str) -> NotFound:
    return NotFound(
        f"There is no tool {name!r} that you may call. GET /api/v1/tools lists those there are."
    )


def _check(tool: ToolView, arguments: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    if len(records.dump(arguments)) > _LARGEST_ARGUMENTS:
        detail = f"use at most {_LARGEST_ARGUMENTS} bytes; put long texts into a space."
        errors = [{"path": "/arguments", "detail": detail}]
        raise InvalidInput(f"The arguments of {tool.name} are too large.", errors=errors)
    if len(records.dump(metadata)) > _MOST_METADATA_BYTES:
        detail = f"use at most {_MOST_METADATA_BYTES} bytes."
        raise InvalidInput(
            "The metadata is too large.", errors=[{"path": "/metadata", "detail": detail}]
        )
    wrong = schemas.list_problems(schema=tool.input_schema, instance=dict(arguments))
    if wrong:
        errors = [{"path": f"/arguments{path}", "detail": detail} for path, detail in wrong]
        lines = "\n".join(f"- at {path or '/'}: {detail}" for path, detail in wrong)
        raise InvalidInput(
            f"The arguments of {tool.name} do not fit its schema:\n{lines}", errors=errors
        )
