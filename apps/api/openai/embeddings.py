"""`POST /v1/embeddings`: texts in, vectors of unit length out, as floats or base64."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from apps.accounts import services as accounts
from apps.api.authentication import bearer
from apps.api.openai.calls import book, carry_out, headers
from apps.api.openai.errors import BadRequest
from apps.api.openai.requests import EmbeddingCall, parse_embedding
from apps.api.openai.wire import Exchange, json_bytes
from apps.inference.services import embedding
from apps.inference.types import EmbeddingRequest, EmbeddingResult, PreparedCall
from apps.model_registry import selectors as registry
from apps.observability.types import TraceParent
from octavo.kernel import io
from octavo.kernel.clock import now
from octavo.kernel.scope import Scope

Prepared = PreparedCall[EmbeddingRequest]


async def embed(exchange: Exchange) -> None:
    raw = await exchange.read()
    secret = bearer(exchange.header(b"authorization"))
    call, prepared = await io.db(_open, secret, raw, exchange.trace)
    started_at = now()
    result = await carry_out(
        exchange,
        embedding.send(prepared),
        prepared=prepared,
        settle_failed=embedding.settle_failed,
        started_at=started_at,
    )
    await book(embedding.settle, prepared=prepared, result=result, started_at=started_at)
    await exchange.answer(json_bytes(_answer(call, result)), headers=headers(prepared))


def _open(secret: str, raw: bytes, trace: TraceParent | None) -> tuple[EmbeddingCall, Prepared]:
    scope = accounts.authenticate_key(secret=secret)
    call = parse_embedding(raw)
    if call.dimensions is not None:
        _check_dimensions(scope, call)
    prepared = embedding.prepare(scope=scope, route=call.model, texts=call.texts, trace=trace)
    return call, prepared


def _check_dimensions(scope: Scope, call: EmbeddingCall) -> None:
    """Vectors are never cut: those of one space must all have one length."""
    route, _ = registry.get_callable_route(scope=scope, name=call.model)
    for target in route.targets:
        if target.model.dimensions != call.dimensions:
            known = target.model.dimensions or "a number that is not registered"
            raise BadRequest(
                f"'dimensions' is {call.dimensions}, but the vectors of {call.model!r} have "
                f"{known} and are not cut. Leave 'dimensions' out.",
                param="dimensions",
            )


def _answer(call: EmbeddingCall, result: EmbeddingResult) -> dict[str, Any]:
    encode = _base64 if call.is_base64 else list
    data = [
        {"object": "embedding", "index": index, "embedding": encode(vector)}
        for index, vector in enumerate(result.vectors)
    ]
    tokens = result.usage.input_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": call.model, "usage": usage}


def _base64(vector: Sequence[float]) -> str:
    """Little-endian 32-bit floats, as OpenAI's SDK reads them."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
