"""Hands work to another agent: a child run, for which the parent waits without a worker."""

from typing import Any

from apps.orchestration import children, drafts
from apps.orchestration.activation import Activation
from apps.orchestration.services import starting
from apps.orchestration.steps.answering import Permitted, refusal
from apps.orchestration.types import RunStatus
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
        child = starting.plan_child(
            scope=activation.scope,
            parent=activation.run,
            step=made.step,
            agent=made.call.name.partition("__")[2],
            input=made.arguments["input"],
        )
    except OctavoError as error:
        return refusal(str(error))
    draft = drafts.child_started(
        made.step, run=ids.encode(ids.Kind.RUN, child.id), agent=child.agent.name
    )
    activation.record(draft, also=child.write)
    return None


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
    text = f"The agent gave no answer: its run {ended['run']} {ended['status']}. {detail}".strip()
    return ToolResult(text=text, is_error=True, trust=trust)
