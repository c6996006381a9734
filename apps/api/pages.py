"""What Django answers when no view did: problems under the API, plain pages elsewhere; never a
stack trace.
"""

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.api import problems
from octavo.kernel.errors import Forbidden

_THEME_COOKIE, _THEMES = "octavo_theme", ("light", "dark")  # what the console remembers


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, problems.of_exception(exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, problems.not_found(request))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, problems.of_error(Forbidden(str(exception) or "Refused.")))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    detail = f"The form could not be checked ({reason.rstrip('.')}). Reload the page and try again."
    return _answer(request, problems.of_error(Forbidden(detail)))


def server_error(request: HttpRequest) -> HttpResponse:
    """Called while the exception is handled: a database that is away is said to be away."""
    error = sys.exc_info()[1]
    return _answer(request, problems.of_exception(error or RuntimeError("nothing was raised")))


def _answer(request: HttpRequest, problem: problems.Problem) -> HttpResponse:
    if request.path.startswith(("/api/", "/v1/", "/mcp")):
        return problem.response()
    theme = request.COOKIES.get(_THEME_COOKIE, "")
    shown = {"problem": problem, "theme": theme if theme in _THEMES else ""}
    answer = render(request, "api/problem.html", shown, status=problem.status)
    for name, value in problem.headers.items():
        answer[name] = value
    return answer
