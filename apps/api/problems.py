"""Problem details (RFC 9457) for every refusal under `/api`, whichever part of Octavo or Django
raised it.

`type` is `urn:octavo:problem:<code>`; `errors` holds JSON pointers into the request body.
https://www.rfc-editor.org/rfc/rfc9457
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from django.core.exceptions import (
    BadRequest,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError

from octavo.kernel import ids
from octavo.kernel.errors import (
    InvalidInput,
    NotFound,
    OctavoError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

CONTENT_TYPE = "application/problem+json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One refusal. `extra` members stand beside the standard ones; `headers` go with the
    response.
    """

    status: int
    code: str
    title: str
    detail: str
    errors: Sequence[Mapping[str, Any]] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        standard = {
            "type": f"urn:octavo:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": list(self.errors),
        }
        return {**self.extra, **standard}

    def response(self) -> HttpResponse:
        response = HttpResponse(
            orjson.dumps(self.body(), default=str), content_type=CONTENT_TYPE, status=self.status
        )
        for name, value in self.headers.items():
            response[name] = value
        return response


def of_status(status: int, detail: str) -> Problem:
    """A problem that says no more than its HTTP status and `detail`."""
    phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "-").replace("'", "")
    return Problem(status=status, code=code, title=phrase.capitalize(), detail=detail)


def of_error(error: OctavoError) -> Problem:
    headers: dict[str, str] = {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, error.retry_after))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="octavo"'
    extra = {key: value for key, value in error.extra.items() if value is not None}
    return Problem(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        errors=error.errors,
        extra=extra,
        headers=headers,
    )


def of_exception(error: BaseException) -> Problem:
    """The problem behind any exception; what nobody foresaw is logged and named by an id, never
    shown.
    """
    if isinstance(error, OctavoError):
        return of_error(error)
    if isinstance(error, RequestDataTooBig):
        return of_error(TooLarge("The request body is larger than OCTAVO_MAX_BODY_BYTES allows."))
    if isinstance(error, TooManyFieldsSent | TooManyFilesSent):
        return of_error(TooLarge("The form has too many parts. Send it in several requests."))
    if isinstance(error, SuspiciousOperation | BadRequest | MultiPartParserError):
        return of_status(400, str(error) or "The request is malformed.")
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("The database did not answer: %s", error)
        return of_error(Unavailable("The database did not answer. Retry in a moment."))
    if isinstance(error, DataError):
        log.warning("The database refused a value: %s", error)
        return of_error(InvalidInput("A value in the request cannot be stored."))
    if isinstance(error, TimeoutError):
        return of_error(Unavailable(f"Something Octavo depends on was too slow: {error}"))
    return _unforeseen(error)


def _unforeseen(error: BaseException) -> Problem:
    incident = ids.new().hex
    log.error("Unhandled error, incident %s", incident, exc_info=error)
    return Problem(
        status=500,
        code="internal",
        title="Internal error",
        detail=f"Octavo failed in a way it should not have. The log holds more under {incident}.",
        extra={"incident": incident},
    )


def not_allowed(request: HttpRequest, allowed: str) -> HttpResponse:
    """405 for a view of Django's that takes only the methods in `allowed`."""
    detail = f"Method {request.method} is not allowed. {request.path} takes {allowed}."
    response = of_status(405, detail).response()
    response["Allow"] = allowed
    return response


def not_found(request: HttpRequest) -> Problem:
    return of_error(
        NotFound(f"There is nothing at {request.path}. See /api/v1/docs for what there is.")
    )
