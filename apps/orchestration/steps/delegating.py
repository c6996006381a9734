"""Hands work to an agent or a workflow: a child run, waited for without a worker. Or hands all of
it over: then the child's end is the run's.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from apps.agents.services import loop
from apps.agents.types import HANDOFF_PREFIX
from apps.orchestration import children, drafts
from apps.orchestration.activation import Activation
from apps.orchestration.agent_loop import AgentLoop
from apps.orchestration.records import Draft, RunFacts
from apps.orchestration.services import starting, workflow_runs
from apps.orchestration.steps import rehearsing
from apps.orchestration.steps.answering import Made, Permitted, refusal
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.waits import Wait
from apps.tools.types import ToolResult, Trust
from octavo.kernel import ids
from octavo.kernel.errors import OctavoError


def delegate(activation: Activation, made: Permitted) -> ToolResult | Wait | None:
    """The child's answer once it is there; None after its start."""
    progress = activation.state.progress(made.step)
    if progress.ended is not None:
        return _answer_of(progress.ended)
    if progress.child is not None:
        return Wait(kind="run", waits_for=progress.child)
    try:
        children.check_room(activation.run)
        child_id, draft, write = _plan(activation, made)
    except OctavoError as error:
        return refusal(str(error))
    activation.record(draft(run=ids.encode(ids.Kind.RUN, child_id)), also=write)
    return None


def hand_off(activation: Activation, made: Permitted) -> ToolResult | Wait | None:
    """The wait for the run that goes on; None after its start. Its end is no answer to the call,
    but ends this run.
    """
    progress = activation.state.progress(made.step)
    if progress.child is not None:
        return Wait(kind="run", waits_for=progress.child)
    program, run = activation.program, activation.run
    if not isinstance(program, AgentLoop):
        return refusal("Only an agent hands its conversation over. Give the other one a task.")
    name, why = made.call.name.removeprefix(HANDOFF_PREFIX), made.arguments["why"]
    conversation = _conversation(program, run, made)
    parent = {"run": ids.encode(ids.Kind.RUN, run.id), "agent": run.agent_name, "why": why}
    handed: dict[str, Any] = {"handed_off_by": parent, "conversation": list(conversation.names)}
    try:
        children.check_room(run)
        child = starting.plan_child(
            scope=activation.scope,
            parent=run,
            step=made.step,
            agent=name,
            input=run.input,
            tainted=program.tainted,
            handed=handed,
        )
    except OctavoError as error:
        return refusal(str(error))
    draft = drafts.handed_off(
        made.step,
        run=ids.encode(ids.Kind.RUN, child.id),
        agent=name,
        why=why,
        conversation=conversation,
    )
    activation.record(draft, also=child.write)
    return None


def rehearse_hand_off(activation: Activation, made: Made) -> bool:
    """In a dry run: end as the run that it forks did when it handed over to the same agent for the
    same reason. False if it did not, or if that has not ended.
    """
    program, run = activation.program, activation.run
    if not isinstance(program, AgentLoop) or not isinstance(made.arguments, Mapping):
        return False
    name, why = made.call.name.removeprefix(HANDOFF_PREFIX), made.arguments["why"]
    known = rehearsing.find_hand_off(run, agent=name, why=why)
    if known is None:
        return False
    if activation.state.progress(made.step).child is None:
        draft = drafts.handed_off(
            made.step,
            run=known["run"],
            agent=name,
            why=why,
            conversation=_conversation(program, run, made),
        )
        activation.record(draft)
    activation.record(drafts.child_finished(made.step, known, read_mail=0))
    return True


def _conversation(program: AgentLoop, run: RunFacts, made: Made) -> drafts.Conversation:
    assert isinstance(made.arguments, Mapping)  # noqa: S101  the schema of a hand-off was checked
    said = loop.hand_over(
        program.state,
        by=run.agent_name,
        to=made.call.name.removeprefix(HANDOFF_PREFIX),
        why=made.arguments["why"],
        note=made.arguments.get("note", ""),
    )
    return drafts.conversation_of(said)


def _plan(
    activation: Activation, made: Permitted
) -> tuple[UUID, Callable[..., Draft], Callable[[], None]]:
    kind, _, name = made.call.name.partition("__")
    scope, parent, given = activation.scope, activation.run, made.arguments["input"]
    tainted = activation.program.tainted
    if kind == "workflow":
        flow = workflow_runs.plan_child(
            scope=scope,
            parent=parent,
            step=made.step,
            workflow=name,
            input=given,
            tainted=tainted,
        )
        return flow.id, partial(drafts.child_started, made.step, workflow=name), flow.write
    child = starting.plan_child(
        scope=scope,
        parent=parent,
        step=made.step,
        agent=name,
        input=given,
        tainted=tainted,
    )
    return child.id, partial(drafts.child_started, made.step, agent=name), child.write


def _answer_of(ended: Any) -> ToolResult:
    trust = Trust.UNTRUSTED if ended["tainted"] else Trust.TRUSTED
    if ended["status"] == RunStatus.SUCCEEDED:
        output = ended["output"]
        return ToolResult(
            text=output["text"],
            structured={"run": ended["run"], **output},
            trust=trust,
            evidence=tuple(output["citations"]),
        )
    detail = (ended["error"] or {}).get("detail", "")
    text = f"There was no answer: the run {ended['run']} {ended['status']}. {detail}".strip()
    return ToolResult(text=text, is_error=True, trust=trust)
