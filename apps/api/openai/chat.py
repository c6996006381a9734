"""`POST /v1/chat/completions`: key, policy, budget, the provider's own answer, usage.

The whole call is booked before the client sees its end, also when it leaves in the middle.
"""

import time
from typing import Any

from apps.accounts import services as accounts
from apps.api.authentication import bearer
from apps.api.openai.calls import book, carry_out, headers
from apps.api.openai.requests import ChatCall, parse_chat
from apps.api.openai.wire import Exchange, json_bytes
from apps.inference.services import passthrough
from apps.inference.types import PreparedCall, ProtocolBody
from apps.observability.types import TraceParent
from octavo.kernel import io
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
    answer = await carry_out(
        exchange,
        passthrough.send(prepared),
        prepared=prepared,
        settle_failed=passthrough.settle_failed,
        started_at=started_at,
    )
    await book(passthrough.settle, prepared=prepared, started_at=started_at)
    answer["model"] = prepared.route
    answer.setdefault("id", _completion_id(prepared))
    answer.setdefault("object", "chat.completion")
    answer.setdefault("created", int(time.time()))
    await exchange.answer(json_bytes(answer), headers=headers(prepared))


async def _stream(exchange: Exchange, call: ChatCall, prepared: Prepared) -> None:
    started_at = now()

    async def pass_on(chunk: dict[str, Any]) -> None:
        if not call.wants_usage and chunk.pop("usage", None) and not chunk.get("choices"):
            return
        chunk["model"] = prepared.route
        if not exchange.status:
            await exchange.start_events(headers(prepared))
        await exchange.send_event(json_bytes(chunk))

    await carry_out(
        exchange,
        passthrough.stream(prepared, on_chunk=pass_on),
        prepared=prepared,
        settle_failed=passthrough.settle_failed,
        started_at=started_at,
    )
    await book(passthrough.settle, prepared=prepared, started_at=started_at)
    await exchange.send_event(b"[DONE]", more=False)


def _completion_id(prepared: Prepared) -> str:
    return f"chatcmpl-{prepared.usage_id.hex}"
