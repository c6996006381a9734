"""Carries out `CallModel`: a governed call in three parts, with no database held over the wire."""

import asyncio
import time
from collections.abc import Sequence

from apps.agents.types import CallModel
from apps.inference.services import chat
from apps.inference.types import ChatRequest, ChatResult, PreparedCall, Settled, ToolOffer
from apps.orchestration import drafts, live
from apps.orchestration.activation import Activation
from apps.orchestration.steps.failing import raise_if_interrupted, record_failure
from apps.tools import selectors as tools
from apps.tools.types import ToolView
from octavo.kernel import io
from octavo.kernel.clock import now
from octavo.kernel.errors import OctavoError

SECONDS = 120.0
_MARGIN = 15.0


def call_model(activation: Activation, decision: CallModel) -> None:
    began = time.monotonic()
    timeout = _timeout(activation)
    activation.lease.allow(timeout + _MARGIN)
    offered = _offered(activation) if decision.offer_tools else ()
    try:
        settled = _complete(activation, decision, offered, timeout)
    except (OctavoError, TimeoutError) as error:
        record_failure(activation, decision.step, error, took=time.monotonic() - began)
        return
    activation.record(
        drafts.model_answered(
            decision,
            settled,
            route=activation.definition.route,
            offered=[tool.name for tool in offered],
            previous_prompt=activation.state.prompt,
            attempt=activation.state.progress(decision.step).attempt + 1,
            took=time.monotonic() - began,
        )
    )


def _timeout(activation: Activation) -> float:
    if activation.run.deadline_at is None:
        return SECONDS
    left = (activation.run.deadline_at - activation.head.now).total_seconds()
    return min(SECONDS, max(left, 1.0))


def _offered(activation: Activation) -> tuple[ToolView, ...]:
    return tools.list_granted(scope=activation.scope, patterns=activation.definition.tools)


def _complete(
    activation: Activation, decision: CallModel, offered: Sequence[ToolView], timeout: float
) -> Settled[ChatResult]:
    request = ChatRequest(
        messages=decision.messages,
        tools=tuple(
            ToolOffer(name=tool.name, description=tool.description, input_schema=tool.input_schema)
            for tool in offered
        ),
        json_schema=decision.json_schema,
    )
    prepared = chat.prepare(
        scope=activation.scope,
        route=activation.definition.route,
        request=request,
        step=decision.step,
    )
    started_at = now()
    try:
        result = _send(activation, decision.step, prepared, timeout)
    except (OctavoError, TimeoutError) as error:
        chat.settle_failed(prepared=prepared, error=error, started_at=started_at)
        raise
    except BaseException:  # the run was cancelled or taken away, not the model's doing
        cut = asyncio.CancelledError()
        chat.settle_failed(prepared=prepared, error=cut, started_at=started_at)
        raise
    return chat.settle(prepared=prepared, result=result, started_at=started_at)


def _send(
    activation: Activation, step: str, prepared: PreparedCall[ChatRequest], timeout: float
) -> ChatResult:
    run_id = activation.run.id

    def pass_on(text: str) -> None:
        live.stream(run_id, step, text)

    sending = chat.send(prepared, on_delta=pass_on)
    try:
        return io.call(activation.lease.watch(sending), timeout=timeout)
    except TimeoutError:
        raise_if_interrupted(activation)
        raise TimeoutError(
            f"Route {prepared.route!r} gave no answer within {timeout:g} s. Point it at a faster "
            "model, or ask for less."
        ) from None
