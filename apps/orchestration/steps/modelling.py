"""Carries out `CallModel`: a governed call in three parts, with no database held over the wire."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from apps.agents.types import CallModel
from apps.inference.services import chat
from apps.inference.types import ChatRequest, ChatResult, PreparedCall, Settled, ToolOffer
from apps.orchestration import drafts, live
from apps.orchestration.activation import Activation
from apps.orchestration.sendings import Receive, Sending
from apps.orchestration.steps.failing import raise_if_interrupted, record_failure
from apps.tools import selectors as tools
from apps.tools.types import ToolView
from octavo.kernel.clock import now
from octavo.kernel.errors import OctavoError

SECONDS = 120.0


def call_model(activation: Activation, decision: CallModel) -> Sending | None:
    """The call, prepared; None when it was refused, which is journaled."""
    began = time.monotonic()
    offered = _offered(activation) if decision.offer_tools else ()
    route = decision.route or activation.program.route
    try:
        prepared = _prepare(activation, decision, route, offered)
    except OctavoError as error:
        record_failure(activation, decision.step, error, took=time.monotonic() - began)
        return None
    asked = _Asked(
        decision=decision,
        route=route,
        offered=[tool.name for tool in offered],
        prepared=prepared,
        timeout=_timeout(activation),
        began=began,
        started_at=now(),
    )
    return Sending(
        step=decision.step,
        coroutine=chat.send(prepared, on_delta=partial(live.stream, activation.run.id, asked.step)),
        timeout=asked.timeout,
        complete=partial(_complete, activation, asked),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A model call under way."""

    decision: CallModel
    route: str
    offered: Sequence[str]
    prepared: PreparedCall[ChatRequest]
    timeout: float
    began: float
    started_at: datetime

    @property
    def step(self) -> str:
        return self.decision.step


def _complete(activation: Activation, asked: _Asked, receive: Receive[ChatResult]) -> None:
    """Settle and journal what came of the call."""
    try:
        settled = _settle(activation, asked, receive)
    except (OctavoError, TimeoutError) as error:
        record_failure(activation, asked.step, error, took=time.monotonic() - asked.began)
        return
    activation.record(
        drafts.model_answered(
            asked.decision,
            settled,
            route=asked.route,
            offered=asked.offered,
            previous_prompt=activation.state.prompt,
            attempt=activation.state.progress(asked.step).attempt + 1,
            took=time.monotonic() - asked.began,
        )
    )


def _timeout(activation: Activation) -> float:
    if activation.run.deadline_at is None:
        return SECONDS
    left = (activation.run.deadline_at - activation.head.now).total_seconds()
    return min(SECONDS, max(left, 1.0))


def _offered(activation: Activation) -> tuple[ToolView, ...]:
    return tools.list_granted(scope=activation.scope, patterns=activation.program.offers)


def _prepare(
    activation: Activation, decision: CallModel, route: str, offered: Sequence[ToolView]
) -> PreparedCall[ChatRequest]:
    request = ChatRequest(
        messages=decision.messages,
        tools=tuple(
            ToolOffer(name=tool.name, description=tool.description, input_schema=tool.input_schema)
            for tool in offered
        ),
        json_schema=decision.json_schema,
    )
    return chat.prepare(scope=activation.scope, route=route, request=request, step=decision.step)


def _settle(
    activation: Activation, asked: _Asked, receive: Receive[ChatResult]
) -> Settled[ChatResult]:
    prepared, started_at = asked.prepared, asked.started_at
    try:
        result = _received(activation, asked, receive)
    except (OctavoError, TimeoutError) as error:
        chat.settle_failed(prepared=prepared, error=error, started_at=started_at)
        raise
    except BaseException:  # the run was cancelled or taken away, not the model's doing
        cut = asyncio.CancelledError()
        chat.settle_failed(prepared=prepared, error=cut, started_at=started_at)
        raise
    return chat.settle(prepared=prepared, result=result, started_at=started_at)


def _received(activation: Activation, asked: _Asked, receive: Receive[ChatResult]) -> ChatResult:
    try:
        return receive()
    except TimeoutError:
        raise_if_interrupted(activation)
        raise TimeoutError(
            f"Route {asked.route!r} gave no answer within {asked.timeout:g} s. Point it at a "
            "faster model, or ask for less."
        ) from None
