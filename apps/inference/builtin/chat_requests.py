"""Pure translation of a chat request for llama.cpp: what may pass, and what its errors become.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Mapping
from typing import Any

import orjson

from apps.inference.builtin.problems import InvalidRequest, ModelNotFound, error_body

# Absent a limit a 135M-parameter model rambles until the window is full, for minutes.
DEFAULT_MAX_TOKENS = 1024

# llama.cpp knows many more fields, some of which reach its slots and files.
FORWARDED = frozenset(
    {
        *("messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"),
        *("temperature", "top_p", "top_k", "min_p", "seed", "stop", "logprobs", "top_logprobs"),
        *("presence_penalty", "frequency_penalty", "repeat_penalty", "logit_bias", "grammar"),
        *("response_format", "tools", "tool_choice", "parallel_tool_calls"),
    }
)


def forwarded_request(body: Any, *, model: str) -> dict[str, Any]:
    """The request for llama.cpp. Unknown fields are dropped, as OpenAI-compatible servers do.

    Raises `InvalidRequest` or `ModelNotFound`.
    """
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    check_model(body, model=model)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("'messages' must be a non-empty array.", param="messages")
    for message in messages:
        _check_message(message)
    request = {
        name: value for name, value in body.items() if name in FORWARDED and value is not None
    }
    if "max_tokens" not in request:
        request["max_tokens"] = request.pop("max_completion_tokens", DEFAULT_MAX_TOKENS)
    request["model"] = model
    return request


def _check_message(message: Any) -> None:
    if not isinstance(message, dict):
        raise InvalidRequest("Each of 'messages' must be an object.", param="messages")
    parts = message.get("content")
    if isinstance(parts, list) and not all(
        isinstance(part, dict) and part.get("type") == "text" for part in parts
    ):
        raise InvalidRequest(
            "This model reads text only: send parts of type 'text'.", param="messages"
        )


def check_model(body: Mapping[str, Any], *, model: str) -> None:
    """A request may leave the model out; one that names another model gets OpenAI's 404."""
    named = body.get("model") or model
    if named != model:
        message = f"The model {named!r} does not exist here. This server offers {model!r}."
        raise ModelNotFound(message, code="model_not_found", param="model")


def error_answer(*, status: int, answer: Any) -> tuple[int, dict[str, Any]]:
    """llama.cpp's error in OpenAI's words, with the status that fits it."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        error = {}
    message = str(error.get("message") or "The chat model failed without saying why.")
    if error.get("type") == "exceed_context_size_error":
        return 400, error_body(
            message=f"The prompt is longer than the model's context window: {message}",
            type="invalid_request_error",
            code="context_length_exceeded",
            param="messages",
        )
    if status < 500:
        return status, error_body(message=message, type="invalid_request_error")
    return status, error_body(message=message, type="server_error")


def with_role(event: bytes) -> bytes:
    """The first event of a stream, naming the assistant as the protocol has it.

    llama.cpp leaves the role out when the first token is only a part of a character.
    """
    try:
        chunk = orjson.loads(event.removeprefix(b"data: "))
        chunk["choices"][0]["delta"].setdefault("role", "assistant")
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return event  # an error object, or nothing at all
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
