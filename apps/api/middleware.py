"""Counts and times every request by its URL pattern, never by its path."""

import time
from collections.abc import Callable
from inspect import iscoroutinefunction

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from apps.observability import metrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@sync_and_async_middleware
def measure_requests(get_response: Callable[..., object]) -> Callable[..., object]:
    """A stream counts until its first byte."""
    if iscoroutinefunction(get_response):

        async def measure_async(request: HttpRequest) -> HttpResponseBase:
            started = time.perf_counter()
            response: HttpResponseBase = await get_response(request)
            _count(request, response, started)
            return response

        return measure_async

    def measure(request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = get_response(request)
        assert isinstance(response, HttpResponseBase)  # noqa: S101
        _count(request, response, started)
        return response

    return measure


def _count(request: HttpRequest, response: HttpResponseBase, started: float) -> None:
    match = request.resolver_match
    metrics.count_http_request(
        method=request.method if request.method in _METHODS else "other",
        route=f"/{match.route}" if match else "unmatched",
        status=response.status_code,
        seconds=time.perf_counter() - started,
    )
