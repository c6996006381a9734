"""A tool called by a person or a program: a durable run of one step, answered when it is done."""

from concurrent.futures import Future
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import live
from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import AnyField, ObjectField, StrictSerializer
from apps.api.rest.runs import MAX_WAIT_SECONDS, RunSerializer, is_settled, traceparent_of
from apps.orchestration.services import direct
from apps.orchestration.services.direct import OpenedCall
from apps.orchestration.types.runs import ToolCallView
from octavo.kernel import ids, io
from octavo.kernel.errors import Forbidden
from octavo.kernel.ids import Kind


class ToolCallBody(StrictSerializer):
    arguments = ObjectField(default=dict)
    idempotency_key = serializers.CharField(
        max_length=255, required=False, help_text="The same as the header Idempotency-Key."
    )
    wait_seconds = serializers.IntegerField(
        min_value=0,
        max_value=MAX_WAIT_SECONDS,
        default=30,
        help_text="Answer when the call is done or waits for someone, at the latest after so long.",
    )
    session = serializers.CharField(max_length=200, default="", allow_blank=True)
    metadata = ObjectField(default=dict)


class CallDecisionSerializer(serializers.Serializer[Any]):
    outcome = serializers.CharField(allow_blank=True)
    policies = serializers.ListField(child=serializers.CharField())


class ToolCallSerializer(serializers.Serializer[ToolCallView]):
    """A tool call. `content` is null while the call waits or is under way."""

    run = RunSerializer()
    content = serializers.CharField(allow_null=True, source="answer.text", default=None)
    structured_content = AnyField(allow_null=True, source="answer.structured", default=None)
    is_error = serializers.BooleanField(source="answer.is_error", default=False)
    decision = CallDecisionSerializer(source="*")


class ToolCallResource(ResourceView):
    tag = "tools"
    key_field = "idempotency_key"
    opened: OpenedCall | None = None

    @extend_schema(
        operation_id="call_tool",
        summary="Call a tool",
        request=ToolCallBody,
        responses={200: ToolCallSerializer, 202: ToolCallSerializer},
        examples=[
            OpenApiExample(
                "Search the handbook",
                {"arguments": {"query": "back up", "spaces": ["handbook"]}},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, name: str) -> Response:
        """200 with the tool's answer; 202 while the call waits for someone or is under way."""
        first = self._open(request, name)
        run_id = ids.decode(Kind.RUN, first.data["run"])
        wait = self.checked(ToolCallBody)["wait_seconds"]
        if self.opened is not None:
            made = io.submit(direct.make_call, scope=self.scope, opened=self.opened)
            _wait_for(made, wait)
        live.wait(
            run_id,
            lambda: is_settled(direct.get_call(scope=self.scope, run_id=run_id).run),
            seconds=wait,
        )
        view = direct.get_call(scope=self.scope, run_id=run_id)
        if view.outcome == "deny" and view.answer is not None:
            raise Forbidden(view.answer.text, policies=view.policies)
        status = 200 if view.run.status.is_final else 202
        response = self.shaped(ToolCallSerializer, view, status=status)
        for header, value in first.headers.items():
            response[header] = value
        return response

    @idempotent
    def _open(self, request: Request, name: str) -> Response:
        body = self.checked(ToolCallBody)
        self.opened = direct.open_call(
            scope=self.scope,
            tool=name,
            arguments=body["arguments"],
            session=body["session"],
            metadata=body["metadata"],
            traceparent=traceparent_of(request),
        )
        return Response({"run": ids.encode(Kind.RUN, self.opened.run.id)}, status=201)


def _wait_for(made: "Future[ToolCallView]", seconds: float) -> None:
    """The call goes on without its caller when it takes longer."""
    try:
        made.result(seconds)
    except TimeoutError:
        return
