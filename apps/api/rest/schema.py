"""The OpenAPI 3.1 document: every operation states its problems, its tag and its idempotency
header.

https://spec.openapis.org/oas/v3.1.1
"""

import inspect
from functools import cache
from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    inline_serializer,
)
from rest_framework import serializers
from rest_framework.serializers import BaseSerializer

from apps.api.problems import CONTENT_TYPE
from apps.api.rest.fields import AnyField

_PROBLEMS = {
    "400": "Malformed request",
    "401": "No valid credential",
    "403": "Refused by policy; `policies` names it",
    "404": "No such thing, or not one the caller may know of",
    "409": "The thing has moved on, or the name is taken",
    "413": "Over a size cap",
    "415": "Unsupported media type",
    "422": "Invalid fields, each with a JSON pointer in `errors`",
    "429": "Too many requests or over a budget; see `Retry-After`",
    "503": "Something Octavo depends on did not answer",
}
_WRITES_ONLY = frozenset({"409", "413", "415"})
_NAMED = frozenset({"404"})


class ProblemErrorSerializer(serializers.Serializer[Any]):
    path = serializers.CharField(help_text="JSON pointer into the request body.")
    detail = serializers.CharField()
    line = serializers.IntegerField(required=False, help_text="In a definition sent as text.")
    column = serializers.IntegerField(required=False, help_text="In a definition sent as text.")


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.CharField(help_text="`urn:octavo:problem:<code>`")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="The thing, the cause and the next step.")
    errors = ProblemErrorSerializer(many=True)  # type: ignore[assignment]
    policies = serializers.ListField(child=serializers.CharField(), required=False)
    head = AnyField(required=False, help_text="The present state, on a stale write.")


class OctavoSchema(AutoSchema):
    """Adds to each operation what all share, so that no view repeats it."""

    def get_tags(self) -> list[str]:
        return [getattr(self.view, "tag", "") or "octavo"]

    def get_description(self) -> str:  # type: ignore[override]
        """The handler's own docstring: what a view shares with others tells a caller nothing."""
        return inspect.getdoc(getattr(self.view, self.method.lower())) or ""

    def _map_basic_serializer(self, serializer: Any, direction: str) -> dict[str, Any]:
        mapped: dict[str, Any] = super()._map_basic_serializer(  # type: ignore[no-untyped-call]
            serializer, direction
        )
        owner = serializer if inspect.isclass(serializer) else type(serializer)
        if not owner.__doc__:
            mapped.pop("description", None)  # a base class's
        return mapped

    def get_override_parameters(self) -> list[Any]:
        declared = list(super().get_override_parameters())
        if self.method == "POST":
            declared.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    str,
                    OpenApiParameter.HEADER,
                    description="The same key and request get the same answer, made once.",
                )
            )
        return declared

    def _get_response_bodies(
        self, direction: Literal["request", "response"] = "response"
    ) -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status in self._problem_statuses():
            bodies.setdefault(status, self._problem(status))
        return dict(sorted(bodies.items()))

    def _problem(self, status: str) -> dict[str, Any]:
        problem = OpenApiResponse(ProblemSerializer, description=_PROBLEMS[status])
        found: dict[str, Any] = self._get_response_for_code(  # type: ignore[no-untyped-call]
            problem, status, [CONTENT_TYPE]
        )
        return found

    def _problem_statuses(self) -> list[str]:
        writes = self.method in {"POST", "PUT", "PATCH"}
        return [
            status
            for status in _PROBLEMS
            if (writes or status not in _WRITES_ONLY) and (status not in _NAMED or "{" in self.path)
        ]


class KeyAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.rest.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "oct_…",
            "description": "An API key. A browser that is signed in to the console needs none.",
        }


@cache
def listed(
    serializer: type[BaseSerializer[Any]],
) -> BaseSerializer[Any] | PolymorphicProxySerializer:
    """The schema of one page of `serializer`."""
    name = serializer.__name__.removesuffix("Serializer")
    return inline_serializer(
        f"{name}Page",
        {
            "items": serializer(many=True),
            "next_cursor": serializers.CharField(allow_null=True),
        },
    )


_EVENTS_OPERATION = {
    "operationId": "stream_run_events",
    "summary": "Follow a run live",
    "description": (
        "Server-sent events: `id` is the journal sequence, `event` its type, `data` the journal "
        "event. `delta` events carry text while a model writes and have no id; `abandoned` says "
        "that such text was given up. Resume with `Last-Event-ID`. The stream ends after the "
        "final event; asked again after that, it answers 204."
    ),
    "tags": ["runs"],
    "security": [{"key": []}],
    "parameters": [
        {"in": "path", "name": "run_id", "required": True, "schema": {"type": "string"}},
        {"in": "header", "name": "Last-Event-ID", "schema": {"type": "integer", "minimum": 0}},
        {"in": "query", "name": "after", "schema": {"type": "integer", "minimum": 0}},
    ],
}


def add_event_stream(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Post-processing hook: the stream is a plain async view that the generator cannot see."""
    problem = {"$ref": "#/components/schemas/Problem"}
    refusals = {
        status: {
            "description": _PROBLEMS[status],
            "content": {CONTENT_TYPE: {"schema": problem}},
        }
        for status in ("401", "403", "404", "422")
    }
    stream = {
        "description": "The events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    done = {"description": "The run is over and there is nothing after `Last-Event-ID`."}
    operation = _EVENTS_OPERATION | {"responses": {"200": stream, "204": done, **refusals}}
    result["paths"]["/api/v1/runs/{run_id}/events"] = {"get": operation}
    return result
