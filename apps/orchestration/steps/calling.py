"""Carries out `CallTools`: policy first, a person's approval where it asks for one, then the call.

What is recorded is never executed again; how a call that was cut off resumes depends on its effect
class (`tools.types.Effect`).
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import connections, transaction

from apps.agents.types import CallTools
from apps.governance.services import decisions
from apps.governance.types import Action, Decision, Outcome
from apps.inference.types import ToolCall
from apps.orchestration import drafts
from apps.orchestration.activation import Activation
from apps.orchestration.steps import approving, doubting
from apps.orchestration.steps.answering import (
    Made,
    Permitted,
    idempotency_key,
    record_answer,
    refusal,
)
from apps.tools import selectors as tool_selectors
from apps.tools.services import calling, effects, schemas
from apps.tools.types import BadArguments, Effect, ToolContext, ToolResult, ToolView

_MARGIN = 15.0


def call_tools(activation: Activation, decision: CallTools) -> None:
    """Make the first of the calls, or park the run until it may be made."""
    call, step = decision.calls[0], f"{decision.step}.{decision.first}"
    activation.lease.allow()
    if activation.state.progress(step).intended and not doubting.may_repeat(activation, step, call):
        return
    granted = {tool.name: tool for tool in _granted(activation)}
    tool = granted.get(call.name)
    if tool is None:
        names = ", ".join(granted) or "none"
        text = f"There is no tool {call.name}. The tools you can call: {names}."
        _refuse(activation, step, call, text)
        return
    arguments = schemas.validate_arguments(tool=tool, arguments=call.arguments)
    if isinstance(arguments, BadArguments):
        _refuse(activation, step, call, _do_not_fit(call.name, arguments.lines))
        return
    permitted = _permit(activation, step, call, tool, arguments)
    if isinstance(permitted, ToolResult):
        made = Made(step=step, call=call, arguments=arguments)
        record_answer(activation, made, permitted)
    elif permitted is not None:
        _execute(activation, tool, permitted)


def _granted(activation: Activation) -> tuple[ToolView, ...]:
    return tool_selectors.list_granted(scope=activation.scope, patterns=activation.definition.tools)


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
) -> Permitted | ToolResult | None:
    """The call as it may be made, or the refusal that the model reads.

    Parks while a person is asked; None when there is mail to read before deciding again.
    """
    given = approving.find_verdict(activation, step, tool)
    if isinstance(given, ToolResult):
        return given
    if given is not None:
        arguments = given.arguments
        wrong = schemas.check_instance(schema=tool.input_schema, instance=dict(arguments))
        if wrong:
            return refusal(_do_not_fit(tool.name, wrong))
    decision = _decide(activation, step, tool, approved=given is not None)
    if decision.is_allowed:
        approval = given.approval if given else None
        return Permitted(
            step=step, call=call, arguments=arguments, decision=decision, approval=approval
        )
    if decision.outcome is Outcome.REQUIRE_APPROVAL and given is None:
        approving.wait(activation, step, tool, arguments, decision)
        return None
    return refusal(decision.explain)


def _decide(activation: Activation, step: str, tool: ToolView, *, approved: bool) -> Decision:
    return decisions.decide(
        scope=activation.scope,
        action=Action.TOOL_CALL,
        resource=tool_selectors.resource_of(tool),
        facts={
            "risk": tool.risk.value,
            "egress": tool.egress,
            "tainted": activation.state.loop.tainted,
            "approved": approved,
        },
        step=step,
    )


def _execute(activation: Activation, tool: ToolView, made: Permitted) -> None:
    began = time.monotonic()
    activation.lease.allow(tool.timeout.total_seconds() + _MARGIN)
    context = ToolContext(
        scope=activation.scope,
        step=made.step,
        idempotency_key=idempotency_key(activation, made.step),
    )
    arguments = dict(made.arguments)
    if tool.effect is Effect.SAME_DATABASE:
        with transaction.atomic():
            result = calling.call_local(context=context, tool=tool, arguments=arguments)
            record_answer(activation, made, result, began=began)
        return
    if tool.effect is Effect.UNSAFE:
        _intend(activation, context, tool, arguments)
    connections.close_all()  # nobody waits for a tool with a database connection in hand
    result = calling.call_local(context=context, tool=tool, arguments=arguments)
    done = partial(effects.finish_effect, run_id=activation.run.id, step=made.step)
    also = done if tool.effect is Effect.UNSAFE else None
    record_answer(activation, made, result, began=began, also=also)


def _intend(
    activation: Activation, context: ToolContext, tool: ToolView, arguments: Mapping[str, Any]
) -> None:
    """Commit the intent, in the journal and on the ledger, before anything happens."""
    draft = drafts.tool_intended(
        context.step,
        tool=tool.name,
        arguments=arguments,
        idempotency_key=context.idempotency_key,
        attempt=activation.state.progress(context.step).attempt + 1,
    )
    begin = partial(
        effects.begin_effect,
        run_id=activation.run.id,
        step=context.step,
        tool=tool.name,
        idempotency_key=context.idempotency_key,
    )
    activation.record(draft, also=begin)
