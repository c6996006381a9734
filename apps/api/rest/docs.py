"""The OpenAPI document and a page to try it, both served by Octavo alone: no CDN, no inline
script.
"""

from functools import cache

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator


@cache
def document() -> bytes:
    """The OpenAPI 3.1 document; the same for every caller, so it is made once."""
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2)


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    return HttpResponse(document(), content_type="application/json")


@require_safe
def docs_page(request: HttpRequest) -> HttpResponse:
    return render(request, "api/docs.html")
