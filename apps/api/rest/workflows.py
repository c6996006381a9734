"""Workflows: graphs as data, in JSON or YAML. `PUT` never changes a version, it adds one."""

from collections.abc import Callable, Mapping
from typing import IO, Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.codec import JSONParser, read_body
from apps.api.rest.fields import AnyField, IdField, ObjectField, StrictSerializer, TimeField
from apps.api.rest.paging import PageQuery, cursor_number, page
from apps.api.rest.schema import listed
from apps.orchestration import selectors
from apps.orchestration.services import workflows
from apps.orchestration.types.workflows import WorkflowProblem, WorkflowView
from octavo.kernel.errors import InvalidInput
from octavo.kernel.ids import Kind

YAML = "application/yaml"
_EXAMPLE = {
    "name": "briefing",
    "definition": {
        "input_schema": {"type": "object", "required": ["topics"]},
        "nodes": [
            {
                "id": "each",
                "kind": "map",
                "over": "input.topics",
                "concurrency": 4,
                "body": {
                    "nodes": [
                        {
                            "id": "research",
                            "kind": "agent",
                            "agent": "guide",
                            "input": "What do the sources say about {{ item }}?",
                        }
                    ]
                },
            },
            {"id": "sure", "kind": "approval", "message": "Publish this? {{ nodes.each.text }}"},
        ],
        "edges": [{"from": "each", "to": "sure"}],
        "output": "{{ nodes.each.data }}",
    },
}
_NEXT = {"definition": _EXAMPLE["definition"]}


class YamlParser(BaseParser):
    """The whole definition as text, which keeps its comments; its `name` names the workflow."""

    media_type = YAML

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        text = read_body(stream).decode(errors="replace")
        name = workflows.name_in(text)
        return {"definition": text, **({"name": name} if name else {})}


class WorkflowDefinitionBody(StrictSerializer):
    definition = AnyField(
        help_text="The graph: an object with `nodes` and `edges`, or the same as YAML text."
    )

    def validate_definition(self, value: Any) -> Any:
        if not isinstance(value, str | dict):
            raise serializers.ValidationError("Expected an object, or YAML text.")
        return value


class WorkflowBody(WorkflowDefinitionBody):
    name = serializers.CharField(max_length=64)


class WorkflowVersionBody(WorkflowDefinitionBody):
    name = serializers.CharField(
        max_length=64, required=False, help_text="May repeat the name in the address."
    )


class WorkflowSerializer(serializers.Serializer[WorkflowView]):
    """A workflow at one version."""

    id = IdField(Kind.WORKFLOW)
    name = serializers.CharField()
    version = serializers.IntegerField()
    description = serializers.CharField()
    definition = ObjectField()
    saved_by = serializers.CharField()
    created_at = TimeField()


class WorkflowProblemSerializer(serializers.Serializer[WorkflowProblem]):
    path = serializers.CharField(help_text="JSON pointer into the definition.")
    detail = serializers.CharField()
    line = serializers.IntegerField(help_text="From 1, in text; else 0.")
    column = serializers.IntegerField(help_text="From 1, in text; else 0.")


class ValidationSerializer(serializers.Serializer[Any]):
    """`valid` is true where the definition could be saved as it is."""

    valid = serializers.BooleanField()
    problems = WorkflowProblemSerializer(many=True)


class WorkflowQuery(StrictSerializer):
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, help_text="An older version."
    )


class WorkflowResource(ResourceView):
    tag = "workflows"
    parser_classes = (JSONParser, YamlParser)

    def saved(self, save: Callable[[], WorkflowView], *, status: int) -> Response:
        try:
            return self.shaped(WorkflowSerializer, save(), status=status)
        except InvalidInput as error:
            raise self._placed(error) from None

    def _placed(self, error: InvalidInput) -> InvalidInput:
        """A pointer into the body, which holds the definition unless it is YAML."""
        if self.request.content_type == YAML:
            return error
        errors = [
            {**one, "path": one["path"] if one["path"] == "/name" else f"/definition{one['path']}"}
            for one in error.errors
        ]
        return InvalidInput(error.detail, errors=errors)


class WorkflowsView(WorkflowResource):
    @extend_schema(
        operation_id="create_workflow",
        summary="Create a workflow",
        request={"application/json": WorkflowBody, YAML: OpenApiTypes.STR},
        responses={201: WorkflowSerializer},
        examples=[
            OpenApiExample(
                "A map, then an approval",
                _EXAMPLE,
                request_only=True,
                media_type="application/json",
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(WorkflowBody)
        return self.saved(
            lambda: workflows.save_workflow(
                scope=self.scope, name=body["name"], source=body["definition"], create=True
            ),
            status=201,
        )

    @extend_schema(
        operation_id="list_workflows",
        summary="List workflows, each at its newest version",
        parameters=[PageQuery],
        responses=listed(WorkflowSerializer),
    )
    def get(self, request: Request) -> Response:
        return page(
            lambda limit, before: selectors.list_workflows(
                scope=self.scope, limit=limit, before=before
            ),
            query=self.query(PageQuery),
            serializer=WorkflowSerializer,
        )


class WorkflowDetailView(WorkflowResource):
    @extend_schema(
        operation_id="get_workflow",
        summary="Read a workflow",
        parameters=[WorkflowQuery],
        responses={
            (200, "application/json"): WorkflowSerializer,
            (200, YAML): OpenApiResponse(OpenApiTypes.STR, description="As text."),
        },
    )
    def get(self, request: Request, name: str) -> Response | HttpResponse:
        """With `Accept: application/yaml` the definition as text, with the comments that it was
        saved with.
        """
        version = self.query(WorkflowQuery).get("version")
        found = selectors.get_workflow(scope=self.scope, name=name, version=version)
        if YAML in request.headers.get("Accept", ""):
            return HttpResponse(as_yaml(found), content_type=f"{YAML}; charset=utf-8")
        return self.shaped(WorkflowSerializer, found)

    @extend_schema(
        operation_id="save_workflow_version",
        summary="Save a new version of a workflow",
        request={"application/json": WorkflowVersionBody, YAML: OpenApiTypes.STR},
        responses=WorkflowSerializer,
        examples=[
            OpenApiExample("A new version", _NEXT, request_only=True, media_type="application/json")
        ],
    )
    def put(self, request: Request, name: str) -> Response:
        selectors.get_workflow(scope=self.scope, name=name)
        body = self.checked(WorkflowVersionBody)
        if body.get("name", name) != name:
            errors = [{"path": "/name", "detail": f"is {body['name']!r}."}]
            raise InvalidInput(f"The definition is not of workflow {name!r}.", errors=errors)
        return self.saved(
            lambda: workflows.save_workflow(
                scope=self.scope, name=name, source=body["definition"], create=False
            ),
            status=200,
        )


class WorkflowVersionsView(WorkflowResource):
    @extend_schema(
        operation_id="list_workflow_versions",
        summary="List the versions of a workflow, newest first",
        parameters=[PageQuery],
        responses=listed(WorkflowSerializer),
    )
    def get(self, request: Request, name: str) -> Response:
        return page(
            lambda limit, before: selectors.list_workflow_versions(
                scope=self.scope, name=name, limit=limit, before=cursor_number(before)
            ),
            query=self.query(PageQuery),
            serializer=WorkflowSerializer,
            cursor_of=lambda view: view.version,
        )


class WorkflowValidationView(WorkflowResource):
    @extend_schema(
        operation_id="validate_workflow",
        summary="Say everything that is wrong with a definition, and where",
        request={"application/json": WorkflowVersionBody, YAML: OpenApiTypes.STR},
        responses=ValidationSerializer,
        examples=[
            OpenApiExample(
                "YAML in JSON",
                {"definition": "nodes:\n  - {id: look, kind: tool, tool: context_search}\n"},
                request_only=True,
                media_type="application/json",
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Saves nothing. Positions are those of the text; of an object there are paths only."""
        body = self.checked(WorkflowVersionBody)
        found = workflows.list_problems(
            scope=self.scope, source=body["definition"], name=body.get("name", "")
        )
        return self.shaped(ValidationSerializer, {"valid": not found, "problems": found})


def as_yaml(workflow: WorkflowView) -> str:
    """A text that creates the same workflow wherever it is sent to."""
    is_named = "name" in workflow.definition
    return workflow.source if is_named else f"name: {workflow.name}\n{workflow.source}"
