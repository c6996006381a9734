"""What went wrong at a provider, as our error: its name, the cause, the next step, no secret."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
import orjson

from apps.inference.adapters.chat_codec import MalformedError
from apps.inference.types import ContextOverflow, RequestRefused, UpstreamBusy
from apps.model_registry.types import Target
from octavo.kernel.errors import Unavailable, UpstreamFailed

_OVERFLOW = re.compile(
    r"context[_ ](length|window|size)|maximum context|prompt is too long|too many (input )?tokens"
    r"|exceeds? .{0,40}context",
    re.IGNORECASE,
)
_CAUSE_LENGTH = 300


def said(message: str, credential: str) -> str:
    """What a provider said, fit to be stored and shown: without our key, cut, on one line."""
    shown = message.replace(credential, "…") if credential else message
    return "".join(
        letter if letter.isprintable() else " " for letter in shown[:_CAUSE_LENGTH]
    ).strip()


def unreachable(target: Target, error: Exception, *, credential: str) -> Unavailable:
    """No connection, or none in time."""
    cause = said(str(error), credential) or type(error).__name__
    return Unavailable(
        f"Provider {target.model.provider!r} did not answer at {target.base_url} ({cause}). "
        "Check that it runs and that its base_url is right."
    )


def broken_off(target: Target, cause: str, *, credential: str) -> UpstreamFailed:
    """An answer that began and did not end, or that cannot be read."""
    return UpstreamFailed(
        f"Provider {target.model.provider!r} gave no usable answer for {target.model.name}: "
        f"{said(cause, credential)}. Retry; if it persists, look into that server's log.",
        retryable=True,
    )


@contextmanager
def unreadable(target: Target, credential: str) -> Iterator[None]:
    """What is malformed in an answer, said as an answer that cannot be read."""
    try:
        yield
    except MalformedError as error:
        raise broken_off(target, str(error), credential=credential) from error


def refused(
    target: Target, *, status: int, body: bytes, headers: Mapping[str, str], credential: str
) -> UpstreamFailed:
    """An answer with an error status."""
    provider, model = target.model.provider, target.model.name
    code, message, param = _cause(body)
    shown = said(message, credential)
    reason = f"HTTP {status}" + (f": {shown}" if shown else "")
    if status in {400, 413, 422} and (
        code == "context_length_exceeded" or _OVERFLOW.search(message)
    ):
        return ContextOverflow(
            f"The request does not fit the context window of {provider}/{model} ({reason}). "
            "Shorten the input or use a model with a larger window.",
            upstream_status=status,
        )
    if status == 429 and code != "insufficient_quota":
        return UpstreamBusy(
            f"Provider {provider!r} is limiting requests ({reason}). Retry later.",
            retry_after=_retry_after(headers),
            upstream_status=status,
        )
    detail = f"Provider {provider!r} {_verdict(target, status, reason, has_key=bool(credential))}"
    if status in {400, 413, 422}:
        return RequestRefused(
            detail,
            upstream_status=status,
            param=said(param, credential),
            reason=said(code, credential),
        )
    return UpstreamFailed(
        detail,
        retryable=status in {408, 409, 425} or status >= 500,
        upstream_status=status,
    )


def _verdict(target: Target, status: int, said: str, *, has_key: bool) -> str:
    model = target.model.name
    if status in {401, 403} and not has_key:
        return f"asks for an API key and has none ({said}). Give it one, then retry."
    if status in {401, 403}:
        return f"refused its API key ({said}). Give it a valid key, then retry."
    if status == 404:
        return (
            f"has no {model} at {target.base_url} ({said}). Check the model's name, and that "
            "base_url ends with the protocol's version (…/v1)."
        )
    if 300 <= status < 400:
        return f"redirects from {target.base_url} ({said}). Set its base_url to the final address."
    if status >= 500:
        return f"failed on {model} ({said}). Retry; if it persists, see that server's log."
    return f"refused the request for {model} ({said}). Correct the request or the model's settings."


def _cause(body: bytes) -> tuple[str, str, str]:
    """Code, message and parameter of an error body; one that is not JSON says nothing."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", "", ""
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return (*read_error(error), str(param or ""))


def read_error(error: Any) -> tuple[str, str]:
    """Code and message of an error object: OpenAI's, a bare text, or FastAPI's `detail`."""
    if isinstance(error, str):
        return "", error
    if not isinstance(error, dict):
        return "", ""
    message = error.get("message") or error.get("detail") or ""
    return str(error.get("code") or ""), str(message)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


CONNECTION_ERRORS = (aiohttp.ClientConnectionError, aiohttp.ServerTimeoutError, OSError)
"""Raised before any byte of an answer arrived."""
