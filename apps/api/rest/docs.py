"""The OpenAPI document and a page to try it, both served by Octavo alone: no CDN, no inline
script.
"""

from functools import cache

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.generators import SchemaGenerator

from apps.api import problems

_READS = frozenset({"GET", "HEAD"})


@cache
def document() -> bytes:
    """The OpenAPI 3.1 document; the same for every caller, so it is made once."""
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2)


@csrf_exempt
def openapi(request: HttpRequest) -> HttpResponse:
    if request.method not in _READS:
        return problems.not_allowed(request, "GET, HEAD")
    return HttpResponse(document(), content_type="application/json")


@csrf_exempt
def docs_page(request: HttpRequest) -> HttpResponse:
    if request.method not in _READS:
        return problems.not_allowed(request, "GET, HEAD")
    return render(request, "api/docs.html")
