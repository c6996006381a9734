"""How a call that brought no result is booked and shown."""

import asyncio
from typing import Any

from apps.inference.types import PreparedCall
from apps.observability.types import CallStatus
from octavo.kernel.errors import Unavailable


def call_status(error: BaseException) -> CallStatus:
    """Cancelled when a person or a stopping process ended the call; an error otherwise."""
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
        return CallStatus.CANCELLED
    return CallStatus.ERROR


def timed_out(prepared: PreparedCall[Any], timeout: float) -> Unavailable:
    """What a caller is told whose call took longer than it allowed."""
    first = prepared.targets[0].model
    return Unavailable(
        f"Route {prepared.route!r} ({first.provider}/{first.name}) gave no answer within "
        f"{timeout:g} s. Retry, allow more time, or point the route at a faster model."
    )
