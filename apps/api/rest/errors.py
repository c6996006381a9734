"""Django REST framework's exceptions become problems; nothing it would render itself gets out."""

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from apps.api import problems
from apps.api.rest.codec import escape
from octavo.kernel.errors import Forbidden, InvalidInput, OctavoError, Unauthenticated


def problem_response(error: Exception, context: dict[str, Any]) -> Response:
    """The EXCEPTION_HANDLER of the REST edge."""
    problem = _problem(error, context)
    response = Response(
        problem.body(),
        status=problem.status,
        headers=dict(problem.headers),
        content_type=problems.CONTENT_TYPE,
    )
    response.exception = True
    return response


def _problem(error: Exception, context: dict[str, Any]) -> problems.Problem:
    if isinstance(error, Http404):
        return problems.not_found(context["request"])
    if isinstance(error, PermissionDenied):
        return problems.of_error(Forbidden(str(error) or "Refused."))
    if isinstance(error, exceptions.ValidationError):
        return problems.of_error(invalid_input(error))
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return problems.of_error(Unauthenticated(str(error.detail)))
    if isinstance(error, exceptions.UnsupportedMediaType):
        sent = context["request"].content_type or "no media type"
        return problems.of_status(415, f"Send application/json; the request says {sent}.")
    if isinstance(error, exceptions.MethodNotAllowed):
        allowed = ", ".join(context["view"].allowed_methods)
        return problems.of_status(405, f"{error.detail} {context['request'].path} takes {allowed}.")
    if isinstance(error, exceptions.APIException):
        return problems.of_status(error.status_code, str(error.detail))
    return problems.of_exception(error)


def invalid_input(error: exceptions.ValidationError) -> OctavoError:
    """Each refused field with its JSON pointer."""
    found = list(_flatten(error.detail, ""))
    first = found[0] if found else {"path": "", "detail": "Invalid."}
    where = f"{first['path']}: " if first["path"] else ""
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return InvalidInput(f"{where}{first['detail']}{more}", errors=found)


def _flatten(detail: Any, path: str) -> Iterator[dict[str, str]]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            here = path if name == "non_field_errors" else f"{path}/{escape(str(name))}"
            yield from _flatten(inner, here)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            is_message = isinstance(inner, str)
            yield from _flatten(inner, path if is_message else f"{path}/{index}")
    else:
        yield {"path": path, "detail": str(detail)}
