"""The governed embedding call, in the same three parts as a chat call.

Large inputs go in several requests under one decision, one reservation and one usage row.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import batched, chain
from uuid import UUID

from apps.inference.adapters import openai_compatible
from apps.inference.services import booking
from apps.inference.services.delivery import deliver
from apps.inference.services.outcome import timed_out
from apps.inference.types import (
    Attempt,
    EmbeddingRequest,
    EmbeddingResult,
    PreparedCall,
    Settled,
    TokenUsage,
)
from apps.model_registry.types import ModelKind
from apps.observability.types import TraceParent
from octavo.kernel import io
from octavo.kernel.clock import now
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

_TEXTS_A_REQUEST = 128
_TEXT_OVERHEAD = 4  # tokens a model adds around one text, rounded up


def prepare(
    *,
    scope: Scope,
    route: str,
    texts: Sequence[str],
    step: str = "",
    trace: TraceParent | None = None,
) -> PreparedCall[EmbeddingRequest]:
    """Policy and budget say yes, or this raises and nothing is reserved."""
    if not texts:
        raise InvalidInput(
            "There is nothing to embed: give at least one text.",
            errors=[{"path": "/input", "detail": "must not be empty"}],
        )
    size = sum(len(text.encode()) for text in texts)
    worst = TokenUsage(input_tokens=size + _TEXT_OVERHEAD * len(texts))  # a token a byte, at most
    return booking.open_call(
        scope=scope,
        route=route,
        kind=ModelKind.EMBEDDING,
        request=EmbeddingRequest(texts=tuple(texts)),
        worst=lambda _: worst,
        step=step,
        trace=trace,
    )


async def send(prepared: PreparedCall[EmbeddingRequest]) -> EmbeddingResult:
    """Embed all texts with one model: never half of them with one and half with another."""

    async def attempt(made: Attempt, credential: str) -> EmbeddingResult:
        def keep(used: TokenUsage) -> None:
            made.usage = TokenUsage(input_tokens=made.usage.input_tokens + used.input_tokens)

        results = [
            await openai_compatible.embed(
                target=made.target, credential=credential, texts=texts, on_usage=keep
            )
            for texts in batched(prepared.request.texts, _TEXTS_A_REQUEST)
        ]
        return replace(
            results[0],
            vectors=tuple(chain.from_iterable(result.vectors for result in results)),
            usage=TokenUsage(input_tokens=sum(result.usage.input_tokens for result in results)),
        )

    return await deliver(prepared, attempt)


def settle(
    *, prepared: PreparedCall[EmbeddingRequest], result: EmbeddingResult, started_at: datetime
) -> Settled[EmbeddingResult]:
    """Write the usage row and settle the budget, in one transaction."""
    cost = booking.close_call(prepared=prepared, started_at=started_at)
    return Settled(
        result=result,
        usage_id=prepared.usage_id,
        cost_usd=cost,
        decision_id=prepared.decision.id,
    )


def settle_failed(
    *, prepared: PreparedCall[EmbeddingRequest], error: BaseException, started_at: datetime
) -> UUID:
    """Write a usage row and settle the budget at what the answered requests used."""
    return booking.close_failed_call(prepared=prepared, error=error, started_at=started_at)


def embed(
    *,
    scope: Scope,
    texts: Sequence[str],
    route: str = "embedding",
    timeout: float = 60.0,
    step: str = "",
) -> Settled[EmbeddingResult]:
    """All three parts for a synchronous caller, outside any transaction.

    Raises what `prepare` and `send` raise, and `Unavailable` after `timeout` seconds.
    """
    prepared = prepare(scope=scope, route=route, texts=texts, step=step)
    started_at = now()
    try:
        result = io.call(send(prepared), timeout=timeout)
    except TimeoutError as error:
        settle_failed(prepared=prepared, error=error, started_at=started_at)
        raise timed_out(prepared, timeout) from error
    except BaseException as error:
        settle_failed(prepared=prepared, error=error, started_at=started_at)
        raise
    return settle(prepared=prepared, result=result, started_at=started_at)
