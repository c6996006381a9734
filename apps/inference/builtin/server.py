"""The routes. Nothing a client sends ends the process; a client that leaves stops its own work."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from apps.inference.builtin import chat, embedding
from apps.inference.builtin.chat import ChatModel
from apps.inference.builtin.chat_requests import (
    check_model,
    error_answer,
    forwarded_request,
    with_role,
)
from apps.inference.builtin.embedding_queue import EmbeddingQueue
from apps.inference.builtin.embedding_requests import answer, parse_request
from apps.inference.builtin.loading import LoadedModel
from apps.inference.builtin.options import EMBEDDING_MODEL, Options
from apps.inference.builtin.problems import InvalidRequest, ModelNotFound, Problem, error_body

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 16 * 1024 * 1024
GENERATION_TIMEOUT_S = 600.0
BROKE_OFF = "The chat model's answer broke off. Try again."

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ModelServer:
    """The two models and the HTTP session to llama.cpp, for as long as the application runs."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.started_at = int(time.time())
        self.chat: LoadedModel[ChatModel] = LoadedModel(
            name=options.chat_model,
            find_obstacle=lambda: chat.find_obstacle(options),
            load=lambda: chat.load_chat(options),
        )
        self.embedding: LoadedModel[EmbeddingQueue] = LoadedModel(
            name=EMBEDDING_MODEL,
            find_obstacle=lambda: embedding.find_obstacle(options),
            load=lambda: EmbeddingQueue(
                model=embedding.load_embedding(options), threads=options.threads
            ),
        )

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[answer_problems])
        app.router.add_get("/health", self.health)
        app.router.add_get("/v1/models", self.list_models)
        app.router.add_get("/v1/models/{model}", self.get_model)
        app.router.add_post("/v1/chat/completions", self.complete_chat)
        app.router.add_post("/v1/embeddings", self.embed)
        app.router.add_post("/tokenize", self.tokenize)
        app.cleanup_ctx.append(self._lifespan)
        return app

    async def _lifespan(self, _app: web.Application) -> Any:
        # The server's own key opens llama.cpp, so a proxy from the environment must never see it.
        timeout = aiohttp.ClientTimeout(total=GENERATION_TIMEOUT_S)
        self.session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        self.chat.start()
        self.embedding.start()
        yield
        await self.session.close()

    async def health(self, _request: web.Request) -> web.Response:
        """200 as soon as the process listens; the states say which requests would be answered."""
        self.chat.start()
        self.embedding.start()
        return json_response(
            {
                "status": "ok",
                "chat": self._describe(self.chat),
                "embedding": self._describe(self.embedding),
            }
        )

    def _describe(self, model: LoadedModel[Any]) -> dict[str, Any]:
        return {"model": model.name, "state": model.state, "detail": model.detail}

    async def list_models(self, _request: web.Request) -> web.Response:
        data = [self._model(self.chat.name), self._model(self.embedding.name)]
        return json_response({"object": "list", "data": data})

    async def get_model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if name not in {self.chat.name, self.embedding.name}:
            message = f"The model {name!r} does not exist here. GET /v1/models lists what does."
            raise ModelNotFound(message, code="model_not_found", param="model")
        return json_response(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.started_at, "owned_by": "octavo"}

    async def complete_chat(self, request: web.Request) -> web.StreamResponse:
        """Proxied to llama.cpp. A client's hanging up closes that connection: the work ends."""
        body = forwarded_request(await read_json(request), model=self.chat.name)
        model = await self.chat.get()
        if body.get("tools"):
            await self._check_tools(model)
        async with self.session.post(
            f"{model.url}/v1/chat/completions", json=body, headers=model.headers
        ) as upstream:
            if upstream.status != 200:
                status, error = error_answer(
                    status=upstream.status, answer=parse_json(await upstream.read())
                )
                return json_response(error, status=status)
            if not body.get("stream"):
                return web.Response(body=await upstream.read(), content_type="application/json")
            return await relay_stream(request, upstream)

    async def _check_tools(self, model: ChatModel) -> None:
        """llama.cpp drops the tools in silence where the model's chat template has none."""
        async with self.session.get(f"{model.url}/props", headers=model.headers) as upstream:
            props = parse_json(await upstream.read())
        if not props.get("chat_template_caps", {}).get("supports_tools"):
            message = (
                f"The model {self.chat.name} has no native tool calling. Describe the tools in the "
                "prompt and constrain the answer with 'response_format' of type 'json_schema'."
            )
            raise InvalidRequest(message, code="unsupported_parameter", param="tools")

    async def embed(self, request: web.Request) -> web.Response:
        parsed = parse_request(await read_json(request))
        queue = await self.embedding.get()
        vectors, tokens = await queue.embed(parsed.texts)
        return json_response(answer(parsed, vectors=vectors, tokens=tokens))

    async def tokenize(self, request: web.Request) -> web.Response:
        """`{"tokens": [...]}` as llama.cpp answers: no special tokens unless `add_special`."""
        body = await read_json(request)
        if not isinstance(body, dict) or not isinstance(body.get("content"), str):
            raise InvalidRequest("'content' must be a string.", param="content")
        special = bool(body.get("add_special", False))
        if body.get("model") == EMBEDDING_MODEL:
            queue = await self.embedding.get()
            tokens = await asyncio.to_thread(
                queue.model.tokenize, [body["content"]], special=special
            )
            return json_response({"tokens": tokens[0]})
        check_model(body, model=self.chat.name)
        model = await self.chat.get()
        async with self.session.post(
            f"{model.url}/tokenize",
            json={"content": body["content"], "add_special": special},
            headers=model.headers,
        ) as upstream:
            return web.Response(
                body=await upstream.read(), status=upstream.status, content_type="application/json"
            )


async def relay_stream(
    request: web.Request, upstream: aiohttp.ClientResponse
) -> web.StreamResponse:
    """Server-sent events, passed on as they come.

    Where the model breaks off, the last event is an error object and no `[DONE]` follows.
    """
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    try:
        await response.write(with_role(await upstream.content.readuntil(b"\n\n")))
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
    except (aiohttp.ClientPayloadError, TimeoutError) as error:
        log.warning("A streamed answer broke off: %r", error)
        body = error_body(message=BROKE_OFF, type="server_error")
        await response.write(b"data: " + orjson.dumps(body) + b"\n\n")
    except ConnectionError:
        return response
    await response.write_eof()
    return response


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure becomes an OpenAI error object, including those of routing and body size."""
    try:
        return await handler(request)
    except Problem as problem:
        return json_response(problem.body(), status=problem.status)
    except web.HTTPException as error:
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        message = f"{request.method} {request.path}: {error.reason}."
        return json_response(error_body(message=message, type=kind), status=error.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("%s %s broke off: %r", request.method, request.path, error)
        return json_response(error_body(message=BROKE_OFF, type="server_error"), status=502)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        message = "The model server failed on this request; its log has the cause."
        return json_response(error_body(message=message, type="server_error"), status=500)


async def read_json(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from None


def parse_json(body: bytes) -> Any:
    """The value, or None where the body is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def json_response(value: Any, *, status: int = 200) -> web.Response:
    body = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return web.Response(body=body, status=status, content_type="application/json")
