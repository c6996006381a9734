"""The governed chat call: `prepare` (database), `send` (network), `settle` (database).

Whatever happens to `send`, its call is settled exactly once: with its result, or as failed.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.inference.adapters import failures
from apps.inference.adapters.chat_codec import StreamDecoder, decode, encode
from apps.inference.services import booking, bounds, exchange
from apps.inference.services.delivery import deliver
from apps.inference.services.outcome import timed_out
from apps.inference.types import (
    Attempt,
    ChatRequest,
    ChatResult,
    DeltaSink,
    PreparedCall,
    Settled,
    TokenUsage,
)
from apps.model_registry.types import ModelKind, RouteView
from octavo.kernel import io
from octavo.kernel.clock import now
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope


def prepare(
    *, scope: Scope, route: str, request: ChatRequest, step: str = ""
) -> PreparedCall[ChatRequest]:
    """Policy and budget say yes, or this raises and nothing is reserved.

    Raises `NotFound` (route), `InvalidInput`, `Forbidden`, `BudgetExceeded`.
    """
    if not request.messages or request.max_tokens < 1:
        raise InvalidInput(
            "A chat call needs at least one message and max_tokens of at least 1.",
            errors=[{"path": "/messages", "detail": "must not be empty"}],
        )
    return booking.open_call(
        scope=scope,
        route=route,
        kind=ModelKind.CHAT,
        request=request,
        worst=lambda view: _worst_case(request, view),
        step=step,
    )


def _worst_case(request: ChatRequest, view: RouteView) -> TokenUsage:
    return bounds.worst_case(encode(request, target=view.targets[0]), view)


async def send(
    prepared: PreparedCall[ChatRequest], *, on_delta: DeltaSink | None = None
) -> ChatResult:
    """Call the model; touches no database. Cancelling closes the connection to the provider.

    `on_delta` receives text as it arrives; after the first piece nothing is retried. Raises
    `Unavailable` or one of its children, naming the provider, the cause and the next step.
    """
    request = prepared.request
    listener = _Listener(on_delta) if on_delta is not None else None

    async def attempt(made: Attempt, credential: str) -> ChatResult:
        return await _ask(made, credential, request, listener)

    return await deliver(
        prepared, attempt, is_repeatable=lambda: listener is None or not listener.was_told
    )


async def _ask(
    made: Attempt, credential: str, request: ChatRequest, listener: "_Listener | None"
) -> ChatResult:
    body = encode(request, target=made.target)
    decoder = StreamDecoder(target=made.target)

    async def pass_on(chunk: dict[str, Any]) -> None:
        with failures.unreadable(made.target, credential):
            text = decoder.feed(chunk)
        if listener is not None and text:
            listener(text)

    if listener is not None:
        await exchange.ask(made, credential, body, pass_on)
        with failures.unreadable(made.target, credential):
            return decoder.result(usage=made.usage)
    answer = await exchange.ask(made, credential, body, None)
    with failures.unreadable(made.target, credential):
        return decode(answer, target=made.target, usage=made.usage)


def settle(
    *, prepared: PreparedCall[ChatRequest], result: ChatResult, started_at: datetime
) -> Settled[ChatResult]:
    """Write the usage row and settle the budget, in one transaction.

    Cost and row include what answers used that broke off before the one in `result`.
    """
    cost = booking.close_call(prepared=prepared, started_at=started_at)
    return Settled(
        result=result,
        usage_id=prepared.usage_id,
        cost_usd=cost,
        decision_id=prepared.decision.id,
    )


def settle_failed(
    *, prepared: PreparedCall[ChatRequest], error: BaseException, started_at: datetime
) -> UUID:
    """Write a usage row and settle the budget at what was used; a cancelled call says so.

    That is nothing before an answer began, else the input and the text received so far.
    """
    return booking.close_failed_call(prepared=prepared, error=error, started_at=started_at)


def complete(
    *,
    scope: Scope,
    route: str,
    request: ChatRequest,
    on_delta: DeltaSink | None = None,
    timeout: float = 120.0,
    step: str = "",
) -> Settled[ChatResult]:
    """All three parts for a synchronous caller, outside any transaction.

    Raises what `prepare` and `send` raise, and `Unavailable` after `timeout` seconds.
    """
    prepared = prepare(scope=scope, route=route, request=request, step=step)
    started_at = now()
    try:
        result = io.call(send(prepared, on_delta=on_delta), timeout=timeout)
    except TimeoutError as error:
        settle_failed(prepared=prepared, error=error, started_at=started_at)
        raise timed_out(prepared, timeout) from error
    except BaseException as error:
        settle_failed(prepared=prepared, error=error, started_at=started_at)
        raise
    return settle(prepared=prepared, result=result, started_at=started_at)


class _Listener:
    """Passes text on, and knows whether any was passed."""

    def __init__(self, sink: DeltaSink) -> None:
        self._sink = sink
        self.was_told = False

    def __call__(self, text: str) -> None:
        self.was_told = True
        self._sink(text)
