"""Every refusal names the thing, the cause and the next step, and knows its HTTP status.

OctavoError
├── InvalidInput     422  a field is wrong; `errors` holds paths
├── Unauthenticated  401  no valid credential
├── Forbidden        403  a policy said no; `policies` names it
├── NotFound         404  no such thing, or not one the caller may know of
├── Conflict         409  the thing has moved on; `head` holds its present state
├── TooLarge         413  over a size cap
├── RateLimited      429  `retry_after` seconds
│   └── BudgetExceeded
└── Unavailable      503  something Octavo depends on did not answer
    └── UpstreamFailed 502  it answered, with an error
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class OctavoError(Exception):
    """Base of every error that Octavo raises on purpose; `str(error)` is fit to show."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self, detail: str, *, errors: Sequence[Mapping[str, Any]] = (), **extra: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.extra = extra


class InvalidInput(OctavoError):
    """`errors`: `[{"path": "/limits/max_steps", "detail": "…"}]`."""

    status, code, title = 422, "invalid-input", "Invalid input"


class Unauthenticated(OctavoError):
    status, code, title = 401, "unauthenticated", "Not signed in"


class Forbidden(OctavoError):
    """`policies`: ids of the policies that decided."""

    status, code, title = 403, "forbidden", "Refused by policy"

    def __init__(self, detail: str, *, policies: Sequence[str] = ()) -> None:
        super().__init__(detail, policies=list(policies))
        self.policies = tuple(policies)


class NotFound(OctavoError):
    status, code, title = 404, "not-found", "Not found"


class Conflict(OctavoError):
    status, code, title = 409, "conflict", "Conflict"


class TooLarge(OctavoError):
    status, code, title = 413, "too-large", "Too large"


class RateLimited(OctavoError):
    """`retry_after`: seconds until another try makes sense."""

    status, code, title = 429, "rate-limited", "Too many requests"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.retry_after = retry_after


class BudgetExceeded(RateLimited):
    """`budget`: id, scope, period, limits, spent and reserved amounts, and when it resets."""

    code, title = "budget-exceeded", "Budget exceeded"

    def __init__(
        self, detail: str, *, retry_after: int, budget: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.budget = budget
        self.extra["budget"] = budget


class Unavailable(OctavoError):
    status, code, title = 503, "unavailable", "Unavailable"


class UpstreamFailed(Unavailable):
    """`retryable`: the same request may succeed later, so a retry or another target makes sense."""

    status, code, title = 502, "upstream-failed", "Upstream failed"

    def __init__(self, detail: str, *, retryable: bool, upstream_status: int | None = None) -> None:
        super().__init__(detail, upstream_status=upstream_status)
        self.retryable = retryable
        self.upstream_status = upstream_status
