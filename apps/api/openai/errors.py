"""Refusals in OpenAI's shape and with its statuses, so that SDKs raise the errors they know.

400 BadRequestError         the body is wrong (`param` says where), or too long for the model
401 AuthenticationError     no valid key
403 PermissionDeniedError   a policy said no; the message and `policies` name it
404 NotFoundError           no such route or address
413 APIStatusError          the body is too large
429 RateLimitError          a budget is full (never retried), or the provider is busy
502, 503, 504 InternalServerError   the provider failed, did not answer, or was too slow

https://platform.openai.com/docs/guides/error-codes
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.api import problems
from apps.inference.types import ContextOverflow, RequestRefused, UpstreamBusy
from octavo.kernel.errors import (
    BudgetExceeded,
    Forbidden,
    InvalidInput,
    NotFound,
    OctavoError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UpstreamFailed,
)

_NEVER_AGAIN = {"x-should-retry": "false"}


class BadRequest(OctavoError):
    """What is wrong with the body, and in which field (`messages[0].role`)."""

    status, code, title = 400, "bad-request", "Bad request"

    def __init__(self, detail: str, *, param: str | None = None, reason: str | None = None) -> None:
        super().__init__(detail)
        self.param = param
        self.reason = reason


class TooSlow(Unavailable):
    status, code, title = 504, "upstream-timeout", "Upstream too slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """`extra` members stand beside the protocol's own."""

    status: int
    message: str
    type: str
    param: str | None = None
    code: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        own = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return {"error": {**self.extra, **own}}


def of_exception(error: BaseException) -> Refusal:
    """What nobody foresaw is logged and named by an id, never shown."""
    if isinstance(error, Unavailable):
        return _of_upstream(error)
    if isinstance(error, RateLimited):
        return _of_limit(error)
    if isinstance(error, OctavoError):
        return _of_request(error)
    problem = problems.of_exception(error)
    return Refusal(
        status=problem.status,
        message=problem.detail,
        type="server_error" if problem.status >= 500 else "invalid_request_error",
        code=problem.code.replace("-", "_"),
    )


def _of_request(error: OctavoError) -> Refusal:
    """The request, its key or what it names is wrong."""
    status, kind, param, code = error.status, "invalid_request_error", None, None
    headers: dict[str, str] = {}
    match error:
        case BadRequest():
            param, code = error.param, error.reason
        case InvalidInput():
            status, param = 400, _param(error)
        case Unauthenticated():
            code, headers = "invalid_api_key", {"www-authenticate": 'Bearer realm="octavo"'}
        case Forbidden():
            kind, code = "permission_error", "policy_refused"
        case NotFound():
            param, code = "model", "model_not_found"
        case TooLarge():
            code = "request_too_large"
    extra = {"policies": list(error.policies)} if isinstance(error, Forbidden) else {}
    return Refusal(
        status=status,
        message=error.detail,
        type=kind,
        param=param,
        code=code,
        extra=extra,
        headers=headers,
    )


def _param(error: InvalidInput) -> str | None:
    """`/messages/0` is `messages.0` here, and a route is a model."""
    path = error.errors[0]["path"].strip("/").replace("/", ".") if error.errors else ""
    return {"": None, "route": "model"}.get(path, path)


def _of_limit(error: RateLimited) -> Refusal:
    """A full budget is final: an SDK that tried again by itself would only hammer."""
    is_budget = isinstance(error, BudgetExceeded)
    return Refusal(
        status=429,
        message=error.detail,
        type="insufficient_quota" if is_budget else "rate_limit_error",
        code="budget_exceeded" if is_budget else "rate_limited",
        extra={"budget": error.budget} if isinstance(error, BudgetExceeded) else {},
        headers={
            "retry-after": str(max(1, error.retry_after)),
            **(_NEVER_AGAIN if is_budget else {}),
        },
    )


def _of_upstream(error: Unavailable) -> Refusal:
    status, kind, param, code = error.status, "server_error", None, error.code.replace("-", "_")
    headers: Mapping[str, str] = {}
    match error:
        case ContextOverflow():
            status, kind = 400, "invalid_request_error"
            param, code = "messages", "context_length_exceeded"
        case RequestRefused():
            status, kind = 400, "invalid_request_error"
            param, code = error.param or None, error.reason or "refused_by_provider"
        case UpstreamBusy():
            status, kind = 429, "rate_limit_error"
            if error.retry_after is not None:
                headers = {"retry-after": f"{error.retry_after:.0f}"}
        case UpstreamFailed() if not error.retryable:
            headers = _NEVER_AGAIN
        case TooSlow():
            headers = _NEVER_AGAIN
    return Refusal(
        status=status, message=error.detail, type=kind, param=param, code=code, headers=headers
    )


def anthropic_body(message: str) -> dict[str, Any]:
    """A 404 in Anthropic's shape. https://docs.anthropic.com/en/api/errors"""
    return {"type": "error", "error": {"type": "not_found_error", "message": message}}
