"""The middle of every model call at this edge: nothing ends it unbooked, not even a stop."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from apps.api.openai.errors import TooSlow
from apps.api.openai.wire import Exchange
from apps.inference.types import PreparedCall
from octavo.kernel import ids, io


class SettleFailed[R](Protocol):
    def __call__(
        self, *, prepared: PreparedCall[R], error: BaseException, started_at: datetime
    ) -> UUID: ...


async def carry_out[R, T](
    exchange: Exchange,
    work: Coroutine[Any, Any, T],
    *,
    prepared: PreparedCall[R],
    settle_failed: SettleFailed[R],
    started_at: datetime,
) -> T:
    """The result of `work`. What fails, is too slow or is left by its client is booked first."""
    try:
        return await exchange.while_connected(work)
    except BaseException as error:
        await book(settle_failed, prepared=prepared, error=error, started_at=started_at)
        if isinstance(error, TimeoutError):
            raise TooSlow(
                f"Route {prepared.route!r} gave no answer in time. Ask for less, point the route "
                "at a faster model, or raise OCTAVO_MODEL_CALL_SECONDS."
            ) from error
        raise


async def book[**P, T](settle: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Settle a call, also while the process is being stopped."""
    return await asyncio.shield(io.db(settle, *args, **kwargs))


def headers[R](prepared: PreparedCall[R]) -> dict[str, str]:
    return {"x-octavo-usage-id": ids.encode(ids.Kind.USAGE, prepared.usage_id)}
