"""An unsafe call that was cut off may have happened: only a person's word lets it be repeated."""

from functools import partial

from apps.inference.types import ToolCall
from apps.orchestration import drafts
from apps.orchestration.activation import Activation
from apps.orchestration.steps.answering import Made, idempotency_key, record_answer
from apps.orchestration.waits import Wait
from apps.tools.services import effects
from apps.tools.types import ToolResult, Trust

HAPPENED = "happened"
NOT_HAPPENED = "not_happened"


def may_repeat(activation: Activation, step: str, call: ToolCall) -> bool | Wait:
    """Whether a call whose intent is journaled but whose result is not may be made after all.

    Only if a person said that it did not happen. If they said that it did, its result is recorded;
    until they have said anything, the step waits.
    """
    progress = activation.state.progress(step)
    if progress.resolution is None:
        return _ask(activation, step, call)
    if progress.resolution["outcome"] == NOT_HAPPENED:
        return True
    text = progress.resolution["result"] or f"{call.name} was done. Its result is not known."
    record_answer(
        activation,
        Made(step=step, call=call, arguments=call.arguments),
        ToolResult(text=text, trust=Trust.UNTRUSTED),
        also=partial(effects.finish_effect, run_id=activation.run.id, step=step),
    )
    return False


def _ask(activation: Activation, step: str, call: ToolCall) -> Wait:
    if not activation.state.progress(step).doubted:
        key = idempotency_key(activation, step)
        activation.record(
            drafts.effect_unknown(step, tool=call.name, idempotency_key=key),
            also=partial(effects.doubt_effect, run_id=activation.run.id, step=step),
        )
    return Wait(kind="effect", waits_for=step)
