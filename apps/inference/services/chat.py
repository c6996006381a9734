"""The governed chat call: `prepare` (database), `send` (network), `settle` (database).

Whatever happens to `send`, its call is settled exactly once: with its result, or as failed.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import orjson

from apps.inference.adapters import openai_compatible
from apps.inference.services import booking, tool_calling
from apps.inference.services.delivery import deliver
from apps.inference.services.outcome import call_status, timed_out
from apps.inference.types import (
    Attempt,
    ChatRequest,
    ChatResult,
    DeltaSink,
    PreparedCall,
    Settled,
    TokenUsage,
)
from apps.model_registry.types import ModelKind
from octavo.kernel import io
from octavo.kernel.clock import now
from octavo.kernel.errors import InvalidInput, UpstreamFailed
from octavo.kernel.scope import Scope

# Tokens that a chat template adds at most: around a message, a call or tool, and for any tools.
_MESSAGE_OVERHEAD = 8
_TOOL_OVERHEAD = 32
_TOOLS_OVERHEAD = 512
_REFUSALS_OF_TOOLS = {400, 404, 422, 501}


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
    most = max(_most_tokens(request), _most_tokens(tool_calling.constrain(request)))
    worst = TokenUsage(input_tokens=most, output_tokens=request.max_tokens)
    return booking.open_call(
        scope=scope, route=route, kind=ModelKind.CHAT, request=request, worst=worst, step=step
    )


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


def settle(
    *, prepared: PreparedCall[ChatRequest], result: ChatResult, started_at: datetime
) -> Settled[ChatResult]:
    """Write the usage row and settle the budget, in one transaction.

    Cost and row include what answers used that broke off before the one in `result`.
    """
    usage_id, cost = booking.close_call(
        prepared=prepared,
        kind=ModelKind.CHAT,
        provider=result.provider,
        model=result.model,
        usage=result.usage,
        started_at=started_at,
    )
    return Settled(
        result=result, usage_id=usage_id, cost_usd=cost, decision_id=prepared.decision.id
    )


def settle_failed(
    *, prepared: PreparedCall[ChatRequest], error: BaseException, started_at: datetime
) -> UUID:
    """Write a usage row and settle the budget at what was used; a cancelled call says so.

    That is nothing before an answer began, else the input and the text received so far.
    """
    return booking.close_failed_call(
        prepared=prepared,
        kind=ModelKind.CHAT,
        status=call_status(error),
        started_at=started_at,
    )


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


async def _ask(
    made: Attempt, credential: str, request: ChatRequest, listener: _Listener | None
) -> ChatResult:
    target = made.target
    if not request.tools or target.model.native_tools:
        asked = request if target.model.native_tools else tool_calling.constrain(request)
        try:
            return await openai_compatible.chat(
                target=target,
                credential=credential,
                request=asked,
                on_delta=listener,
                on_usage=_meter(made, request),
            )
        except UpstreamFailed as error:
            if not (request.tools and _refuses_tools(error)):
                raise
    return await _ask_constrained(made, credential, request, listener)


async def _ask_constrained(
    made: Attempt, credential: str, request: ChatRequest, listener: _Listener | None
) -> ChatResult:
    """A listener hears the answer once it is whole: before, it is a piece of JSON."""
    constrained = tool_calling.constrain(request)
    answer = await openai_compatible.chat(
        target=made.target,
        credential=credential,
        request=constrained,
        on_delta=None,
        on_usage=_meter(made, request),
    )
    result = tool_calling.interpret(answer, request)
    if listener is not None and result.text:
        listener(result.text)
    return result


def _meter(made: Attempt, request: ChatRequest) -> Callable[[TokenUsage], None]:
    """Keeps what the attempt has used; no answer is longer than it was allowed to be."""

    def keep(used: TokenUsage) -> None:
        made.usage = replace(used, output_tokens=min(used.output_tokens, request.max_tokens))

    return keep


def _refuses_tools(error: UpstreamFailed) -> bool:
    """The server has no tool calling for this model, as Ollama and vLLM say in words."""
    return error.upstream_status in _REFUSALS_OF_TOOLS and "tool" in error.detail.lower()


def _most_tokens(request: ChatRequest) -> int:
    """A bound no tokenizer exceeds, tools and schema included: each byte of UTF-8 is a token."""
    size = _MESSAGE_OVERHEAD * len(request.messages)
    for message in request.messages:
        size += len(message.content.encode()) + len((message.tool_call_id or "").encode())
        for call in message.tool_calls:
            size += len(f"{call.id}{call.name}{call.arguments}".encode()) + _TOOL_OVERHEAD
    for tool in request.tools:
        size += len(f"{tool.name}{tool.description}".encode()) + _TOOL_OVERHEAD
        size += len(orjson.dumps(dict(tool.input_schema)))
    if request.json_schema is not None:
        size += len(orjson.dumps(dict(request.json_schema)))
    return size + (_TOOLS_OVERHEAD if request.tools else 0)
