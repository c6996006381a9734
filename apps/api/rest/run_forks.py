"""A run's history put to use: fork it, fold it again, lay two side by side, ask why."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import AnyField, ObjectField, StrictSerializer, UsdField
from apps.api.rest.runs import RunSerializer, UsageSerializer
from apps.orchestration import selectors
from apps.orchestration.services import forking, replay
from apps.orchestration.types.histories import Edit, Replayed
from octavo.kernel import ids
from octavo.kernel.ids import Kind

_MOST_EDITS = 50


class EditBody(StrictSerializer):
    step = serializers.CharField(max_length=200)
    output = AnyField(
        help_text="The new text. For a model also `{content?, tool_calls?: [{name, arguments}]}`, "
        "for a tool `{content, structured?, is_error?}`."
    )

    def validate_output(self, value: Any) -> Any:
        if not isinstance(value, str | dict):
            raise serializers.ValidationError("Expected a string or an object.")
        return value


class ForkBody(StrictSerializer):
    at_step = serializers.CharField(
        max_length=200, help_text="The last step that the new run takes over, by its key."
    )
    input = AnyField(default=None, allow_null=True)
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, allow_null=True, default=None
    )
    route = serializers.CharField(max_length=200, default="", allow_blank=True)
    edits = serializers.ListField(child=EditBody(), default=list, max_length=_MOST_EDITS)
    dry_run = serializers.BooleanField(
        default=False, help_text="Answer tools from the parent's journal, and make no call."
    )
    budget_usd = UsdField(allow_null=True, default=None)

    def validate_input(self, value: Any) -> Any:
        if not isinstance(value, str | dict | None):
            raise serializers.ValidationError("Expected a string or an object.")
        return value


class RunForkView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="fork_run",
        summary="Start a run that goes on from a step of another",
        request=ForkBody,
        responses={201: RunSerializer},
        examples=[
            OpenApiExample(
                "Another answer of a tool",
                {"at_step": "tools.1.0", "edits": [{"step": "tools.1.0", "output": "sold out"}]},
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        body = self.checked(ForkBody)
        edits = [Edit(step=edit["step"], output=edit["output"]) for edit in body["edits"]]
        run = forking.fork_run(
            scope=self.scope, run_id=ids.decode(Kind.RUN, run_id), **{**body, "edits": edits}
        )
        return self.shaped(RunSerializer, run, status=201)


class DifferenceSerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    step = serializers.CharField()
    expected = ObjectField(help_text="What the code asks at this point.")
    recorded = ObjectField(help_text="What the journal says was asked.")


class ReplayedSerializer(serializers.Serializer[Replayed]):
    equal = serializers.BooleanField()
    first_difference = DifferenceSerializer(allow_null=True)
    events = serializers.IntegerField()


class RunReplayView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="replay_run",
        summary="Fold a run's journal again, without calling anything",
        request=None,
        responses=ReplayedSerializer,
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        found = replay.replay_run(scope=self.scope, run_id=ids.decode(Kind.RUN, run_id))
        return self.shaped(ReplayedSerializer, found)


class DiffQuery(StrictSerializer):
    a = serializers.CharField(max_length=40)
    b = serializers.CharField(max_length=40)


class SideSerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    type = serializers.CharField()
    input = AnyField(help_text="What was asked: messages new in the prompt, arguments or query.")
    output = AnyField()
    usage = UsageSerializer(source="*")
    duration_ms = serializers.IntegerField()
    inherited = serializers.BooleanField()


class StepPairSerializer(serializers.Serializer[Any]):
    step = serializers.CharField()
    differs = serializers.ListField(
        child=serializers.ChoiceField(["presence", "input", "output"]),
        help_text="Empty where both sides are alike.",
    )
    a = SideSerializer(allow_null=True)
    b = SideSerializer(allow_null=True)


class RunDiffSerializer(serializers.Serializer[Any]):
    a = RunSerializer()
    b = RunSerializer()
    shared_steps = serializers.IntegerField(help_text="How many steps at the start are alike.")
    first_difference = serializers.CharField(allow_null=True, help_text="A step key.")
    steps = StepPairSerializer(many=True)


class RunDiffView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="diff_runs",
        summary="Lay two runs side by side, step by step",
        parameters=[DiffQuery],
        responses=RunDiffSerializer,
    )
    def get(self, request: Request) -> Response:
        query = self.query(DiffQuery)
        found = selectors.compare_runs(
            scope=self.scope, a=ids.decode(Kind.RUN, query["a"]), b=ids.decode(Kind.RUN, query["b"])
        )
        return self.shaped(RunDiffSerializer, found)


class EvidenceSerializer(serializers.Serializer[Any]):
    space = serializers.CharField()
    key = serializers.CharField()
    revision = serializers.IntegerField()


class ProvenanceSerializer(serializers.Serializer[Any]):
    step = serializers.CharField()
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="The tool, or the spaces that were searched."
    )
    trust = serializers.CharField()


class WhySerializer(serializers.Serializer[Any]):
    step = serializers.CharField()
    offered = serializers.ListField(child=serializers.CharField())
    chosen = ObjectField(help_text="`{tool, arguments}`, or `{answer}`.")
    rationale = serializers.CharField(allow_blank=True)
    evidence = EvidenceSerializer(many=True)
    provenance = ProvenanceSerializer(many=True)
    policies = serializers.ListField(child=serializers.CharField())
    outcome = serializers.CharField(allow_blank=True)
    approver = serializers.CharField(allow_null=True)


class RunWhySerializer(serializers.Serializer[Any]):
    decisions = WhySerializer(many=True)


class RunWhyView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="list_run_reasons",
        summary="Why a run did what it did, decision by decision",
        responses=RunWhySerializer,
    )
    def get(self, request: Request, run_id: str) -> Response:
        found = selectors.list_reasons(scope=self.scope, run_id=ids.decode(Kind.RUN, run_id))
        return self.shaped(RunWhySerializer, {"decisions": found})
