"""Any server that speaks OpenAI's protocol: chat completions, streamed or whole, and embeddings.

One call is one HTTP request: nothing is retried here, and cancelling the coroutine closes the
connection, so that the server stops working for nobody.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

import aiohttp
import numpy as np
import orjson

from apps.inference.adapters import failures, http
from apps.inference.adapters.chat_codec import (
    MalformedError,
    StreamDecoder,
    decode,
    decode_usage,
    encode,
)
from apps.inference.adapters.sse import EventParser, EventTooLargeError
from apps.inference.types import ChatRequest, ChatResult, DeltaSink, EmbeddingResult
from apps.model_registry.types import ProviderKind, Target

_MAX_ANSWER = 64 * 2**20
_MAX_ERROR = 64 * 2**10
_DRAIN_SECONDS = 0.1
_SENDS_BASE64 = {ProviderKind.OPENAI, ProviderKind.VLLM, ProviderKind.BUILTIN}


async def chat(
    *, target: Target, credential: str, request: ChatRequest, on_delta: DeltaSink | None
) -> ChatResult:
    """Streams exactly when somebody listens. Raises `Unavailable` or one of its children."""
    body = encode(request, target=target, stream=on_delta is not None)
    async with _post(target, credential, "/chat/completions", body) as response:
        if on_delta is not None:
            decoder = StreamDecoder(target=target, sent=len(body))
            return await _read_stream(response, target, decoder, on_delta)
        answer = await _read_json(response, target)
    return _decoded(target, lambda: decode(answer, target=target, sent=len(body)))


async def embed(*, target: Target, credential: str, texts: tuple[str, ...]) -> EmbeddingResult:
    """One vector a text, L2-normalised. Raises `Unavailable` or one of its children."""
    wish: dict[str, Any] = {"model": target.model.name, "input": texts}
    if target.provider_kind in _SENDS_BASE64:
        wish["encoding_format"] = "base64"
    body = orjson.dumps(wish)
    async with _post(target, credential, "/embeddings", body) as response:
        answer = await _read_json(response, target)
    return _decoded(target, lambda: _embeddings(answer, target, len(texts), sent=len(body)))


def _decoded[T](target: Target, work: Callable[[], T]) -> T:
    try:
        return work()
    except MalformedError as error:
        raise failures.broken_off(target, str(error)) from error


def _headers(target: Target, credential: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if credential:
        headers["Authorization"] = f"Bearer {credential}"
    return headers


@asynccontextmanager
async def _post(
    target: Target, credential: str, path: str, body: bytes
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer with status 200; its connection is reused if it is read to the end, else closed."""
    try:
        response = await http.session().post(
            f"{target.base_url}{path}",
            data=body,
            headers=_headers(target, credential),
            allow_redirects=False,
        )
    except failures.CONNECTION_ERRORS as error:
        raise failures.unreachable(target, error) from error
    except (aiohttp.ClientError, ValueError) as error:
        raise failures.broken_off(target, _named(error)) from error
    async with response:
        try:
            if response.status != 200:
                raise failures.refused(
                    target,
                    status=response.status,
                    body=await _read(response, limit=_MAX_ERROR, cut=True),
                    headers=response.headers,
                    credential=credential,
                )
            yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            cause = "the connection broke off in the middle of its answer"
            raise failures.broken_off(target, f"{cause} ({_named(error)})") from error
        finally:
            if not response.content.at_eof():
                response.close()


def _named(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _read(response: aiohttp.ClientResponse, *, limit: int, cut: bool = False) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            if cut:
                break
            raise aiohttp.ClientPayloadError(f"it is larger than {limit // 2**20} MiB")
    return b"".join(parts)


async def _read_json(response: aiohttp.ClientResponse, target: Target) -> dict[str, Any]:
    body = await _read(response, limit=_MAX_ANSWER)
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise failures.broken_off(target, "its answer is not JSON") from error
    if not isinstance(answer, dict):
        raise failures.broken_off(target, "its answer is not a JSON object")
    if answer.get("error") and "choices" not in answer and "data" not in answer:
        raise failures.broken_off(target, failures.read_error(answer["error"])[1] or "an error")
    return answer


async def _read_stream(
    response: aiohttp.ClientResponse, target: Target, decoder: StreamDecoder, on_delta: DeltaSink
) -> ChatResult:
    async with aclosing(_payloads(response, target)) as payloads:
        async for payload in payloads:
            if payload.strip() == b"[DONE]":
                await _drain(response)
                break
            text = _decoded(target, partial(decoder.feed, _chunk(payload, target)))
            if text:
                on_delta(text)
    if not decoder.is_complete:
        raise failures.broken_off(target, "its stream ended before the model was done")
    return decoder.result()


async def _payloads(response: aiohttp.ClientResponse, target: Target) -> AsyncGenerator[bytes]:
    parser = EventParser()
    try:
        async for received in response.content.iter_any():
            for payload in parser.feed(received):
                yield payload
        for payload in parser.close():
            yield payload
    except EventTooLargeError as error:
        raise failures.broken_off(target, str(error)) from error


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Take the end of the body, which follows at once, so that the connection can be reused."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await response.content.read()


def _chunk(payload: bytes, target: Target) -> dict[str, Any]:
    try:
        chunk: Any = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise failures.broken_off(target, "a chunk of its stream is not JSON") from error
    if not isinstance(chunk, dict):
        raise failures.broken_off(target, "a chunk of its stream is not a JSON object")
    if chunk.get("error"):
        said = failures.read_error(chunk["error"])[1]
        raise failures.broken_off(target, said or "an error in the middle of its stream")
    return chunk


def _embeddings(
    answer: dict[str, Any], target: Target, count: int, *, sent: int
) -> EmbeddingResult:
    try:
        rows = sorted(answer["data"], key=lambda row: int(row["index"]))
        vectors = [_vector(row["embedding"]) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedError("it has no data[].embedding") from error
    width = len(vectors[0]) if vectors else 0
    if len(vectors) != count or not width or any(len(vector) != width for vector in vectors):
        raise MalformedError(f"it holds {len(vectors)} vectors for {count} texts")
    expected = target.model.dimensions
    if expected is not None and width != expected:
        raise MalformedError(f"its vectors have {width} dimensions where {expected} are registered")
    matrix = np.array(vectors, dtype=np.float32)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    matrix /= np.where(lengths == 0, 1, lengths)
    return EmbeddingResult(
        vectors=tuple(map(tuple, matrix.tolist())),
        usage=decode_usage(answer.get("usage"), sent=sent, received=0),
        model=target.model.name,
        model_id=target.model.id,
        provider=target.model.provider,
        dimensions=width,
    )


def _vector(value: Any) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """A list of numbers, or base64 of little-endian float32."""
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
    return np.asarray(value, dtype=np.float32)
