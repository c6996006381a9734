"""What people and programs do to a run under way: cancel, pause and resume it, answer it, settle
what it doubts.
"""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import AnyField, StrictSerializer
from apps.api.rest.runs import RunSerializer
from apps.orchestration.services import control, retrying
from octavo.kernel import ids
from octavo.kernel.ids import Kind


class RunCancelView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="cancel_run", summary="Cancel a run", request=None, responses=RunSerializer
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        run = control.cancel_run(scope=self.scope, run_id=ids.decode(Kind.RUN, run_id))
        return self.shaped(RunSerializer, run)


class EffectBody(StrictSerializer):
    outcome = serializers.ChoiceField(["happened", "not_happened"])
    result = serializers.CharField(
        max_length=100_000,
        default="",
        allow_blank=True,
        help_text="What the agent should read as the result of a call that happened.",
    )


class RunEffectView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="resolve_effect",
        summary="Say whether an unsafe call happened before its worker died",
        request=EffectBody,
        responses=RunSerializer,
    )
    @idempotent
    def post(self, request: Request, run_id: str, step: str) -> Response:
        body = self.checked(EffectBody)
        run = control.resolve_effect(
            scope=self.scope,
            run_id=ids.decode(Kind.RUN, run_id),
            step=step,
            outcome=body["outcome"],
            result=body["result"],
        )
        return self.shaped(RunSerializer, run)


class RunPauseView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="pause_run",
        summary="Hold a run after its present step",
        request=None,
        responses=RunSerializer,
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        run = control.pause_run(scope=self.scope, run_id=ids.decode(Kind.RUN, run_id))
        return self.shaped(RunSerializer, run)


class RunResumeView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="resume_run",
        summary="Let a paused run go on",
        request=None,
        responses=RunSerializer,
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        run = control.resume_run(scope=self.scope, run_id=ids.decode(Kind.RUN, run_id))
        return self.shaped(RunSerializer, run)


class InputBody(StrictSerializer):
    content = serializers.CharField(
        max_length=100_000, help_text="What the agent should read as the answer to its question."
    )


class RunInputView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="give_input",
        summary="Answer the question that a run waits with",
        request=InputBody,
        responses=RunSerializer,
        examples=[
            OpenApiExample("Answer", {"content": "Take the second offer."}, request_only=True)
        ],
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        content = self.checked(InputBody)["content"]
        run = control.give_input(
            scope=self.scope, run_id=ids.decode(Kind.RUN, run_id), content=content
        )
        return self.shaped(RunSerializer, run)


class SignalBody(StrictSerializer):
    name = serializers.CharField(max_length=200)
    payload = AnyField(default=None, allow_null=True)


class RunSignalView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="signal_run",
        summary="Send a run a signal, which it keeps until it asks for one",
        request=SignalBody,
        responses=RunSerializer,
        examples=[
            OpenApiExample(
                "Signal", {"name": "paid", "payload": {"invoice": 17}}, request_only=True
            )
        ],
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        body = self.checked(SignalBody)
        run = control.signal_run(
            scope=self.scope,
            run_id=ids.decode(Kind.RUN, run_id),
            name=body["name"],
            payload=body["payload"],
        )
        return self.shaped(RunSerializer, run)


class RetryBody(StrictSerializer):
    resume = serializers.BooleanField(
        default=False,
        help_text="Let a quarantined run itself go on where it stood; only a person may.",
    )


class RunRetryView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="retry_run",
        summary="Do a failed, cancelled or quarantined run again",
        request=RetryBody,
        responses={201: RunSerializer, 200: RunSerializer},
        examples=[
            OpenApiExample("A new run", {}, request_only=True),
            OpenApiExample("On from where it stood", {"resume": True}, request_only=True),
        ],
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        """201 with a new run whose `retry_of` names this one; with `resume`, 200 with this run."""
        key = ids.decode(Kind.RUN, run_id)
        if self.checked(RetryBody)["resume"]:
            run = retrying.resume_quarantined(scope=self.scope, run_id=key)
            return self.shaped(RunSerializer, run)
        run = retrying.retry_run(scope=self.scope, run_id=key)
        return self.shaped(RunSerializer, run, status=201)
