"""Makes a call that is allowed, and records its answer; an unsafe one leaves its intent first.

No answer is an event too: a call that cannot have happened, or may be repeated, is tried again.
"""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connections, transaction

from apps.orchestration import drafts
from apps.orchestration.activation import Activation
from apps.orchestration.sendings import Receive, Sending
from apps.orchestration.steps import waiting
from apps.orchestration.steps.answering import Permitted, record_answer, refusal
from apps.orchestration.steps.deciding import context_of
from apps.orchestration.steps.failing import raise_if_interrupted
from apps.orchestration.waits import TURN, Wait
from apps.tools.services import calling, effects
from apps.tools.types import (
    Effect,
    ToolContext,
    ToolResult,
    ToolUnavailable,
    ToolView,
)

_MARGIN = 15.0
_DELAYS = (1.0, 2.0, 4.0)
"""Seconds before each further attempt of a run; a caller who waits is told at once."""


def execute(activation: Activation, tool: ToolView, made: Permitted) -> Sending | Wait | None:
    """A remote call under way, or what the call waits for; None when something was journaled."""
    if tool.waits is not None:
        return waiting.wait(activation, tool.waits, made)
    if _must_queue(activation, tool):
        return Wait(kind=TURN, waits_for=made.step)
    context = context_of(activation, made.step, approved=made.approval is not None)
    if tool.is_remote:
        return _prepare(activation, context, tool, made)
    began = time.monotonic()
    activation.lease.allow(tool.timeout.total_seconds() + _MARGIN)
    if tool.effect is Effect.SAME_DATABASE:
        with transaction.atomic():
            result = calling.call_local(context=context, tool=tool, arguments=dict(made.arguments))
            record_answer(activation, made, result, began=began)
        return None
    if tool.effect is Effect.UNSAFE:
        _intend(activation, context, tool, made.arguments)
    connections.close_all()  # nobody waits for a tool with a database connection in hand
    call = partial(calling.call_local, context=context, tool=tool, arguments=dict(made.arguments))
    _complete(activation, tool, made, began, call)
    return None


def _must_queue(activation: Activation, tool: ToolView) -> bool:
    """Calls that change something outside are made one by one where their order was asked for."""
    in_order = activation.program.in_order and tool.effect is Effect.UNSAFE
    return in_order and activation.sendings.has_change


def _prepare(
    activation: Activation, context: ToolContext, tool: ToolView, made: Permitted
) -> Sending | None:
    began = time.monotonic()
    prepared = calling.prepare(context=context, tool=tool, arguments=dict(made.arguments))
    if prepared.refusal:
        record_answer(activation, made, refusal(prepared.refusal))
        return None
    if tool.effect is Effect.UNSAFE:
        _intend(activation, context, tool, made.arguments)
    return Sending(
        step=made.step,
        coroutine=calling.send(prepared),
        timeout=tool.timeout.total_seconds() + _MARGIN / 3,
        complete=partial(_complete, activation, tool, made, began),
        finishes=tool.effect is Effect.UNSAFE,
    )


def _complete(
    activation: Activation,
    tool: ToolView,
    made: Permitted,
    began: float,
    receive: Receive[ToolResult],
) -> None:
    """Journal what came of the call."""
    try:
        result = receive()
    except TimeoutError:  # `send` keeps the tool's own time, so this is no answer either
        raise_if_interrupted(activation)
        error = ToolUnavailable(f"The tool {tool.name} gave no answer.", was_sent=True)
        _record_silence(activation, tool, made, error, began)
    except ToolUnavailable as error:
        _record_silence(activation, tool, made, error, began)
    else:
        record_answer(activation, made, result, began=began, also=_finished(activation, tool, made))


def _finished(activation: Activation, tool: ToolView, made: Permitted) -> Callable[[], None] | None:
    if tool.effect is not Effect.UNSAFE:
        return None
    return partial(effects.finish_effect, run_id=activation.run.id, step=made.step)


def _record_silence(
    activation: Activation, tool: ToolView, made: Permitted, error: ToolUnavailable, began: float
) -> None:
    """An unsafe call that may have happened is doubted at the next look; others are tried again
    for a while, and then it is the model that reads of it.
    """
    if tool.effect is Effect.UNSAFE and error.was_sent:
        return
    progress = activation.state.progress(made.step)
    is_last = bool(activation.run.tool) or progress.failures >= len(_DELAYS)
    drop = partial(effects.drop_effect, run_id=activation.run.id, step=made.step)
    also = drop if tool.effect is Effect.UNSAFE else None
    if is_last:
        record_answer(activation, made, refusal(str(error)), began=began, also=also)
        return
    activation.record(
        drafts.tool_failed(
            made.step,
            tool=tool.name,
            detail=str(error),
            was_sent=error.was_sent,
            retry_in=timedelta(seconds=_DELAYS[progress.failures]),
            attempt=max(progress.attempt, 1) if progress.intended else progress.attempt + 1,
            took=time.monotonic() - began,
        ),
        also=also,
    )


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
