"""The governed rerank call: scores for texts against a question, in the same three parts as any."""

from collections.abc import Sequence

from apps.inference.adapters import openai_compatible
from apps.inference.services import booking
from apps.inference.services.delivery import deliver
from apps.inference.services.outcome import timed_out
from apps.inference.types import Attempt, PreparedCall, RerankRequest, RerankResult, TokenUsage
from apps.model_registry.types import ModelKind
from octavo.kernel import io
from octavo.kernel.clock import now
from octavo.kernel.scope import Scope


def rerank(
    *,
    scope: Scope,
    route: str,
    query: str,
    texts: Sequence[str],
    timeout: float = 30.0,
    step: str = "",
) -> RerankResult:
    """Outside any transaction. Raises what policy, budgets and the server raise, and `Unavailable`
    after `timeout` seconds.
    """
    size = sum(len(text.encode()) + len(query.encode()) for text in texts)
    worst = TokenUsage(input_tokens=size)  # a token a byte, at most
    prepared = booking.open_call(
        scope=scope,
        route=route,
        kind=ModelKind.RERANK,
        request=RerankRequest(query=query, texts=tuple(texts)),
        worst=lambda _: worst,
        step=step,
        trace=None,
    )
    started_at = now()
    try:
        result = io.call(_send(prepared), timeout=timeout)
    except TimeoutError as error:
        booking.close_failed_call(prepared=prepared, error=error, started_at=started_at)
        raise timed_out(prepared, timeout) from error
    except BaseException as error:
        booking.close_failed_call(prepared=prepared, error=error, started_at=started_at)
        raise
    booking.close_call(prepared=prepared, started_at=started_at)
    return result


async def _send(prepared: PreparedCall[RerankRequest]) -> RerankResult:
    async def attempt(made: Attempt, credential: str) -> RerankResult:
        def keep(used: TokenUsage) -> None:
            made.usage = used

        return await openai_compatible.rerank(
            target=made.target,
            credential=credential,
            query=prepared.request.query,
            texts=prepared.request.texts,
            on_usage=keep,
        )

    return await deliver(prepared, attempt)
