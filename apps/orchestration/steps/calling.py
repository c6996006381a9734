"""Carries out `CallTool`: policy first, a person's approval where it asks for one, then the call.

What is recorded is never executed again; how a call that was cut off resumes depends on its effect
class (`tools.types.Effect`).
"""

from collections.abc import Mapping
from typing import Any

from apps.governance.types import Outcome
from apps.inference.types import ToolCall
from apps.orchestration import drafts
from apps.orchestration.activation import Activation
from apps.orchestration.programs import CallTool
from apps.orchestration.sendings import Sending
from apps.orchestration.steps import approving, delegating, doubting, rehearsing
from apps.orchestration.steps.answering import Made, Permitted, record_answer, refusal
from apps.orchestration.steps.deciding import decide
from apps.orchestration.steps.executing import execute
from apps.orchestration.waits import Wait
from apps.tools import selectors as tools
from apps.tools.services import schemas
from apps.tools.types import BadArguments, ToolResult, ToolView, Waits


def call_tool(activation: Activation, task: CallTool) -> Sending | Wait | None:
    """The call under way, or what it waits for; None when something was journaled."""
    call, step = task.call, task.step
    if activation.state.progress(step).intended:
        repeats = doubting.may_repeat(activation, step, call)
        if isinstance(repeats, Wait):
            return repeats
        if not repeats:
            return None
    tool = tools.find_granted(
        scope=activation.scope, name=call.name, patterns=activation.program.tools
    )
    if tool is None:
        _refuse(activation, step, call, _unknown(activation, call.name))
        return None
    arguments = schemas.validate_arguments(tool=tool, arguments=call.arguments)
    if isinstance(arguments, BadArguments):
        _refuse(activation, step, call, _do_not_fit(call.name, arguments.lines))
        return None
    if activation.run.is_dry_run:
        made = Made(step=step, call=call, arguments=arguments)
        if tool.waits is Waits.HANDOFF and delegating.rehearse_hand_off(activation, made):
            return None
        known = rehearsing.find_answer(activation.run, made)
        if known is not None or tool.waits is not Waits.TIME:  # to wait does nothing
            record_answer(activation, made, known or rehearsing.refuse(activation.run, made))
            return None
    permitted = _permit(activation, step, call, tool, arguments)
    if isinstance(permitted, ToolResult):
        made = Made(step=step, call=call, arguments=arguments)
        record_answer(activation, made, permitted)
        return None
    if isinstance(permitted, Wait):
        return permitted
    return execute(activation, tool, permitted)


def _unknown(activation: Activation, name: str) -> str:
    granted = tools.list_granted(scope=activation.scope, patterns=activation.program.tools)
    names = ", ".join(tool.name for tool in granted) or "none"
    return f"There is no tool {name}. The tools you can call: {names}."


def _refuse(activation: Activation, step: str, call: ToolCall, text: str) -> None:
    made = Made(step=step, call=call, arguments=call.arguments)
    record_answer(activation, made, refusal(text))


def _do_not_fit(tool: str, lines: tuple[str, ...]) -> str:
    return "\n".join((f"The arguments of {tool} do not fit its schema:", *lines))


def _permit(
    activation: Activation,
    step: str,
    call: ToolCall,
    tool: ToolView,
    arguments: Mapping[str, Any],
) -> Permitted | ToolResult | Wait:
    """The call as it may be made, the refusal that the model reads, or the person it waits for.

    A wait for a time is decided on when it begins: its end does nothing.
    """
    allowed = activation.state.progress(step).permission
    if allowed is not None and tool.waits is Waits.TIME:
        return Permitted(step=step, call=call, arguments=arguments, decision=allowed)
    given = approving.find_verdict(activation, step, tool)
    if isinstance(given, ToolResult | Wait):
        return given
    if given is not None:
        arguments = given.arguments
        wrong = schemas.check_instance(schema=tool.input_schema, instance=dict(arguments))
        if wrong:
            return refusal(_do_not_fit(tool.name, wrong))
    decision = decide(activation, step, tool, arguments, approved=given is not None)
    if decision.is_allowed:
        approval = given.approval if given else None
        allowed = drafts.permission(decision)
        return Permitted(
            step=step, call=call, arguments=arguments, decision=allowed, approval=approval
        )
    if decision.outcome is Outcome.REQUIRE_APPROVAL and given is None:
        return approving.ask(activation, step, tool, arguments, decision)
    return refusal(decision.explain)
