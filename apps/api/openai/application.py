"""The ASGI application for `/v1/…`, beside Django: a chat call pays for no middleware of a website.

Whatever goes wrong is told in OpenAI's shape: as the answer, or as the last event of a stream.
https://platform.openai.com/docs/api-reference
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from apps.api.openai import chat, embeddings, errors, models
from apps.api.openai.wire import ClientLeft, Exchange, json_bytes
from apps.observability import metrics

PREFIX = "/v1/"
Handler = Callable[[Exchange], Awaitable[None]]

_ONE_MODEL = "/v1/models/<id>"
_HANDLERS: Mapping[str, tuple[str, Handler]] = {
    "/v1/chat/completions": ("POST", chat.complete),
    "/v1/embeddings": ("POST", embeddings.embed),
    "/v1/models": ("GET", models.list_models),
    _ONE_MODEL: ("GET", models.get_model),
}
_USE_CHAT = "Send the conversation to POST /v1/chat/completions."
_NOT_YET = {
    "/v1/responses": f"Octavo does not speak the Responses API. {_USE_CHAT}",
    "/v1/completions": f"Octavo does not speak the older completions API. {_USE_CHAT}",
}
_MESSAGES = "/v1/messages"


async def application(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    exchange = Exchange(scope, receive, send)
    started = time.perf_counter()
    route = _route(exchange.path)
    try:
        await _handle(exchange, route)
    except ClientLeft:
        exchange.status = exchange.status or 499
    except Exception as error:  # noqa: BLE001  whatever it is, the client is told in its protocol
        await _tell(exchange, errors.of_exception(error))
    finally:
        metrics.count_http_request(
            method=exchange.method if exchange.method in {"GET", "POST"} else "other",
            route=route if route in _HANDLERS else "unmatched",
            status=exchange.status,
            seconds=time.perf_counter() - started,
        )


def _route(path: str) -> str:
    return _ONE_MODEL if path.startswith(models.PREFIX) else path


async def _handle(exchange: Exchange, route: str) -> None:
    if route not in _HANDLERS:
        await _unknown(exchange)
        return
    method, handler = _HANDLERS[route]
    if exchange.method != method:
        refusal = errors.Refusal(
            status=405,
            message=f"{exchange.path} takes {method}, not {exchange.method}.",
            type="invalid_request_error",
            code="method_not_allowed",
            headers={"allow": method},
        )
        await _tell(exchange, refusal)
        return
    await handler(exchange)


async def _unknown(exchange: Exchange) -> None:
    if exchange.path == _MESSAGES or exchange.path.startswith(f"{_MESSAGES}/"):
        said = f"Octavo does not speak Anthropic's Messages API. {_USE_CHAT}"
        await exchange.answer(json_bytes(errors.anthropic_body(said)), status=404)
        return
    said = _NOT_YET.get(exchange.path) or (
        f"There is nothing at {exchange.path}. There are {', '.join(_HANDLERS)}."
    )
    refusal = errors.Refusal(
        status=404, message=said, type="invalid_request_error", code="unknown_url"
    )
    await _tell(exchange, refusal)


async def _tell(exchange: Exchange, refusal: errors.Refusal) -> None:
    body = json_bytes(refusal.body())
    if exchange.status:  # the stream has begun: its last event says why it ends
        with suppress(OSError):
            await exchange.send_event(body, more=False)
        return
    await exchange.answer(body, status=refusal.status, headers=refusal.headers)
