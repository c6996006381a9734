"""What Django answers when no view did: problems under the API, plain pages elsewhere; never a
stack trace.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.api import problems
from octavo.kernel.errors import Forbidden


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
    return _answer(
        request,
        problems.of_status(500, "Octavo failed in a way it should not have. The log holds more."),
    )


def _answer(request: HttpRequest, problem: problems.Problem) -> HttpResponse:
    if request.path.startswith(("/api/", "/v1/", "/mcp")):
        return problem.response()
    return render(request, "api/problem.html", {"problem": problem}, status=problem.status)
