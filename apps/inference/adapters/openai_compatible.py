"""Any server that speaks OpenAI's protocol: chat completions, streamed or whole,
embeddings and reranking.

One call is one HTTP request: nothing is retried here, and cancelling the coroutine closes the
connection, so that the server stops working for nobody.
"""

import asyncio
import base64
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import numpy as np
import orjson

from apps.inference.adapters import failures, http
from apps.inference.adapters.chat_codec import (
    MalformedError,
    StreamMeter,
    answer_usage,
    check_answer,
    decode_usage,
    output_limit,
)
from apps.inference.adapters.sse import EventParser, EventTooLargeError
from apps.inference.types import (
    ChunkSink,
    EmbeddingResult,
    ProtocolBody,
    RerankResult,
    TokenUsage,
)
from apps.model_registry.types import ProviderKind, Target
from octavo.kernel.errors import UpstreamFailed

_MAX_ANSWER = 64 * 2**20
_MAX_ERROR = 64 * 2**10
_DRAIN_SECONDS = 0.1
UsageSink = Callable[[TokenUsage], None]
"""Told what an answer has used so far, each time that it grows; estimated until it is counted."""

_SENDS_BASE64 = {ProviderKind.OPENAI, ProviderKind.VLLM, ProviderKind.BUILTIN}


async def chat(
    *,
    target: Target,
    credential: str,
    body: ProtocolBody,
    on_usage: UsageSink,
    on_chunk: ChunkSink | None = None,
) -> dict[str, Any]:
    """The whole answer; or nothing, once `on_chunk` has been given all of a streamed one.

    `body` goes on as it is, but for the model and the count of tokens that is asked for. Raises
    `Unavailable` or one of its children.
    """
    sent = orjson.dumps(_wish(target, body, stream=on_chunk is not None))
    most = output_limit(body)
    async with _post(target, credential, "/chat/completions", sent) as response:
        reader = _Reader(response, target, credential, on_usage, len(sent), most)
        if on_chunk is not None:
            await reader.read_stream(on_chunk)
            return {}
        answer = await reader.read_json()
        reader.decoded(partial(check_answer, answer))
        on_usage(reader.decoded(partial(answer_usage, answer, sent=len(sent), most=most)))
    return answer


def _wish(target: Target, body: ProtocolBody, *, stream: bool) -> dict[str, Any]:
    wish = {**body, "model": target.model.name}
    if stream:
        options = wish.get("stream_options") or {}
        return wish | {"stream": True, "stream_options": {**options, "include_usage": True}}
    wish.pop("stream_options", None)
    wish.pop("stream", None)
    return wish


async def embed(
    *, target: Target, credential: str, texts: tuple[str, ...], on_usage: UsageSink
) -> EmbeddingResult:
    """One vector a text, L2-normalised. Raises `Unavailable` or one of its children."""
    wish: dict[str, Any] = {"model": target.model.name, "input": texts}
    if target.provider_kind in _SENDS_BASE64:
        wish["encoding_format"] = "base64"
    body = orjson.dumps(wish)
    async with _post(target, credential, "/embeddings", body) as response:
        reader = _Reader(response, target, credential, on_usage, len(body), 0)
        answer = await reader.read_json()
    return reader.decoded(lambda: _embeddings(answer, target, len(texts), sent=len(body)))


async def rerank(
    *, target: Target, credential: str, query: str, texts: tuple[str, ...], on_usage: UsageSink
) -> RerankResult:
    """One score a text, by `/v1/rerank` as vLLM, TEI and others speak it
    (https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html). Raises `Unavailable` or
    one of its children.
    """
    wish = {"model": target.model.name, "query": query, "documents": texts, "top_n": len(texts)}
    body = orjson.dumps(wish)
    async with _post(target, credential, "/rerank", body) as response:
        reader = _Reader(response, target, credential, on_usage, len(body), 0)
        answer = await reader.read_json()
    return reader.decoded(lambda: _reranked(answer, len(texts), sent=len(body)))


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
        raise failures.unreachable(target, error, credential=credential) from error
    except (aiohttp.ClientError, ValueError) as error:
        raise failures.broken_off(target, _named(error), credential=credential) from error
    async with response:
        try:
            if response.status != 200:
                raise failures.refused(
                    target,
                    status=response.status,
                    body=await http.read(response, limit=_MAX_ERROR, cut=True),
                    headers=response.headers,
                    credential=credential,
                )
            yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            cause = f"the connection broke off in the middle of its answer ({_named(error)})"
            raise failures.broken_off(target, cause, credential=credential) from error
        finally:
            if not response.content.at_eof():
                response.close()


def _named(error: Exception) -> str:
    return str(error) or type(error).__name__


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one answer with status 200, and tells what it has used from its first piece on."""

    response: aiohttp.ClientResponse
    target: Target
    credential: str
    on_usage: UsageSink
    sent: int
    most: int | None

    async def read_json(self) -> dict[str, Any]:
        try:
            body = await http.read(self.response, limit=_MAX_ANSWER)
        except BaseException:
            if received := self.response.content.total_bytes:
                self.on_usage(decode_usage(None, sent=self.sent, received=received, most=self.most))
            raise
        try:
            answer: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise self._broken_off("its answer is not a JSON object")
        if answer.get("error") and "choices" not in answer and "data" not in answer:
            raise self._broken_off(failures.read_error(answer["error"])[1] or "an error")
        self.on_usage(
            decode_usage(answer.get("usage"), sent=self.sent, received=len(body), most=self.most)
        )
        return answer

    async def read_stream(self, on_chunk: ChunkSink) -> None:
        meter = StreamMeter(sent=self.sent, most=self.most)
        async with aclosing(self._payloads()) as payloads:
            async for payload in payloads:
                if payload.strip() == b"[DONE]":
                    await _drain(self.response)
                    break
                chunk = self._chunk(payload)
                self.decoded(partial(meter.feed, chunk))
                self.on_usage(meter.usage)
                await on_chunk(chunk)
        if not meter.is_complete:
            raise self._broken_off("its stream ended before the model was done")

    def decoded[T](self, work: Callable[[], T]) -> T:
        with failures.unreadable(self.target, self.credential):
            return work()

    async def _payloads(self) -> AsyncGenerator[bytes]:
        parser = EventParser()
        size = 0
        try:
            async for received in self.response.content.iter_any():
                size += len(received)
                if size > _MAX_ANSWER:
                    raise self._broken_off(f"it is larger than {_MAX_ANSWER // 2**20} MiB")
                for payload in parser.feed(received):
                    yield payload
            for payload in parser.close():
                yield payload
        except EventTooLargeError as error:
            raise self._broken_off(str(error)) from error

    def _chunk(self, payload: bytes) -> dict[str, Any]:
        try:
            chunk: Any = orjson.loads(payload)
        except orjson.JSONDecodeError:
            chunk = None
        if not isinstance(chunk, dict):
            raise self._broken_off("a chunk of its stream is not a JSON object")
        if chunk.get("error"):
            said = failures.read_error(chunk["error"])[1]
            raise self._broken_off(said or "an error in the middle of its stream")
        return chunk

    def _broken_off(self, cause: str) -> UpstreamFailed:
        return failures.broken_off(self.target, cause, credential=self.credential)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Take the end of the body, which follows at once, so that the connection can be reused."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await http.read(response, limit=_MAX_ERROR, cut=True)


def _embeddings(
    answer: dict[str, Any], target: Target, count: int, *, sent: int
) -> EmbeddingResult:
    try:
        rows = sorted(answer["data"], key=lambda row: int(row["index"]))
        vectors = [_vector(row["embedding"]) for row in rows]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
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


def _reranked(answer: dict[str, Any], count: int, *, sent: int) -> RerankResult:
    try:
        rows = {int(row["index"]): float(row["relevance_score"]) for row in answer["results"]}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MalformedError("it has no results[].relevance_score") from error
    if set(rows) != set(range(count)) or not all(map(math.isfinite, rows.values())):
        raise MalformedError(f"it holds {len(rows)} scores for {count} texts")
    return RerankResult(
        scores=tuple(rows[place] for place in range(count)),
        usage=decode_usage(answer.get("usage"), sent=sent, received=0),
    )


def _vector(value: Any) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """A list of numbers, or base64 of little-endian float32."""
    if isinstance(value, str):
        vector = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
    else:
        with np.errstate(over="ignore"):
            vector = np.asarray(value, dtype=np.float32)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError("An embedding is one row of finite numbers.")
    return vector
