"""The governed chat call for callers who speak the protocol: bodies in, the provider's answers out.

The same three parts as `chat`, over the same path: `prepare`, `send` or `stream`, then `settle`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.inference.services import booking, bounds, exchange
from apps.inference.services.delivery import deliver
from apps.inference.types import Attempt, ChunkSink, PreparedCall, ProtocolBody, Settled
from apps.model_registry.types import ModelKind
from apps.observability.types import TraceParent
from octavo.kernel.scope import Scope


def prepare(
    *, scope: Scope, route: str, body: ProtocolBody, trace: TraceParent | None = None
) -> PreparedCall[ProtocolBody]:
    """Policy and budget say yes, or this raises and nothing is reserved.

    `body` has messages, and tools and limits of the protocol's types; whatever else it holds goes
    on to the provider. Raises `NotFound` (route), `InvalidInput`, `Forbidden`, `BudgetExceeded`.
    """
    return booking.open_call(
        scope=scope,
        route=route,
        kind=ModelKind.CHAT,
        request=body,
        worst=lambda view: bounds.worst_case(body, view),
        trace=trace,
    )


async def send(prepared: PreparedCall[ProtocolBody]) -> dict[str, Any]:
    """The provider's whole answer; touches no database. Cancelling closes the connection to it.

    Raises `Unavailable` or one of its children.
    """

    async def attempt(made: Attempt, credential: str) -> dict[str, Any]:
        return await exchange.ask(made, credential, prepared.request, None)

    return await deliver(prepared, attempt)


async def stream(prepared: PreparedCall[ProtocolBody], *, on_chunk: ChunkSink) -> None:
    """As `send`, each chunk given to `on_chunk`; after the first one nothing is retried."""
    was_told = False

    async def tell(chunk: dict[str, Any]) -> None:
        nonlocal was_told
        was_told = True
        await on_chunk(chunk)

    async def attempt(made: Attempt, credential: str) -> dict[str, Any]:
        return await exchange.ask(made, credential, prepared.request, tell)

    await deliver(prepared, attempt, is_repeatable=lambda: not was_told)


def settle(*, prepared: PreparedCall[ProtocolBody], started_at: datetime) -> Settled[None]:
    """Write the usage row and settle the budget, in one transaction."""
    cost = booking.close_call(prepared=prepared, started_at=started_at)
    return Settled(
        result=None,
        usage_id=prepared.usage_id,
        cost_usd=cost,
        decision_id=prepared.decision.id,
    )


def settle_failed(
    *, prepared: PreparedCall[ProtocolBody], error: BaseException, started_at: datetime
) -> UUID:
    """Write a usage row and settle the budget at what was used; a cancelled call says so."""
    return booking.close_failed_call(prepared=prepared, error=error, started_at=started_at)
