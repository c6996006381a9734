"""`POST /v1/chat/completions`: key, policy, budget, the provider's own answer, usage.

The whole call is booked before the client sees its end, also when it leaves in the middle.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from apps.accounts import services as accounts
from apps.api.authentication import bearer
from apps.api.openai.errors import TooSlow
from apps.api.openai.requests import ChatCall, parse_chat
from apps.api.openai.wire import Exchange, json_bytes
from apps.inference.services import passthrough
from apps.inference.types import PreparedCall, ProtocolBody
from apps.observability.types import TraceParent
from octavo.kernel import ids, io
from octavo.kernel.clock import now

Prepared = PreparedCall[ProtocolBody]


async def complete(exchange: Exchange) -> None:
    raw = await exchange.read()
    secret = bearer(exchange.header(b"authorization"))
    call, prepared = await io.db(_open, secret, raw, exchange.trace)
    if call.is_streamed:
        await _stream(exchange, call, prepared)
    else:
        await _answer(exchange, prepared)


def _open(secret: str, raw: bytes, trace: TraceParent | None) -> tuple[ChatCall, Prepared]:
    """One trip to the database's threads: who calls, what for, and may they."""
    scope = accounts.authenticate_key(secret=secret)
    call = parse_chat(raw)
    prepared = passthrough.prepare(scope=scope, route=call.model, body=call.body, trace=trace)
    return call, prepared


async def _answer(exchange: Exchange, prepared: Prepared) -> None:
    started_at = now()
    async with _booked_if_failed(prepared, started_at):
        answer = await exchange.while_connected(passthrough.send(prepared))
    await io.db(passthrough.settle, prepared=prepared, started_at=started_at)
    answer["model"] = prepared.route
    answer.setdefault("id", _completion_id(prepared))
    answer.setdefault("object", "chat.completion")
    answer.setdefault("created", int(time.time()))
    await exchange.answer(json_bytes(answer), headers=_headers(prepared))


async def _stream(exchange: Exchange, call: ChatCall, prepared: Prepared) -> None:
    started_at = now()

    async def pass_on(chunk: dict[str, Any]) -> None:
        if not call.wants_usage and chunk.pop("usage", None) and not chunk.get("choices"):
            return
        chunk["model"] = prepared.route
        if not exchange.status:
            await exchange.start_events(_headers(prepared))
        await exchange.send_event(json_bytes(chunk))

    async with _booked_if_failed(prepared, started_at):
        streaming = passthrough.stream(prepared, on_chunk=pass_on)
        await exchange.while_connected(streaming)
    await io.db(passthrough.settle, prepared=prepared, started_at=started_at)
    await exchange.send_event(b"[DONE]", more=False)


@asynccontextmanager
async def _booked_if_failed(prepared: Prepared, started_at: datetime) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        booking = io.db(
            passthrough.settle_failed, prepared=prepared, error=error, started_at=started_at
        )
        await asyncio.shield(booking)
        if isinstance(error, TimeoutError):
            raise TooSlow(
                f"Route {prepared.route!r} gave no answer in time. Ask for less, point the route "
                "at a faster model, or raise OCTAVO_MODEL_CALL_SECONDS."
            ) from error
        raise


def _headers(prepared: Prepared) -> dict[str, str]:
    return {"x-octavo-usage-id": ids.encode(ids.Kind.USAGE, prepared.usage_id)}


def _completion_id(prepared: Prepared) -> str:
    return f"chatcmpl-{prepared.usage_id.hex}"
