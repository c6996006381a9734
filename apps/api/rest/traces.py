"""Traces: a run as OpenTelemetry spans, with the decisions and the usage that belong to it."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView
from apps.api.rest.fields import IdField, ObjectField, TimeField, UsdField
from apps.api.rest.runs import RunSerializer
from apps.governance import selectors as governance
from apps.governance.types import Outcome, RecordedDecision
from apps.observability import selectors as observability
from apps.observability.types import CallStatus, Span, SpanKind, SpanStatus, UsageView
from apps.orchestration import selectors
from octavo.kernel.errors import NotFound
from octavo.kernel.ids import Kind


class SpanSerializer(serializers.Serializer[Span]):
    """One span; `span_id` is 16 hex digits, an unfinished span has no `ended_at`."""

    trace_id = serializers.CharField()
    span_id = serializers.CharField()
    parent_id = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    kind = serializers.ChoiceField([str(kind) for kind in SpanKind])
    status = serializers.ChoiceField([str(status) for status in SpanStatus])
    started_at = TimeField()
    ended_at = TimeField(allow_null=True)
    attributes = ObjectField()


class DecisionSerializer(serializers.Serializer[RecordedDecision]):
    """One policy decision as it was answered."""

    id = IdField(Kind.DECISION)
    at = TimeField()
    step = serializers.CharField()
    principal = serializers.CharField()
    action = serializers.CharField()
    resource = serializers.CharField()
    outcome = serializers.ChoiceField([str(outcome) for outcome in Outcome])
    policies = serializers.ListField(child=serializers.CharField())
    facts = ObjectField()
    bundle = serializers.CharField()
    explain = serializers.CharField()


class CallSerializer(serializers.Serializer[UsageView]):
    """One model call as it was settled."""

    id = IdField(Kind.USAGE)
    step = serializers.CharField()
    kind = serializers.CharField()
    route = serializers.CharField()
    provider = serializers.CharField()
    model = serializers.CharField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = UsdField()
    status = serializers.ChoiceField([str(status) for status in CallStatus])
    started_at = TimeField()
    ended_at = TimeField()


class TraceSerializer(serializers.Serializer[Any]):
    trace_id = serializers.CharField()
    run = RunSerializer(allow_null=True)
    spans = SpanSerializer(many=True)
    decisions = DecisionSerializer(many=True)
    usage = CallSerializer(many=True)


class TraceView(ResourceView):
    tag = "traces"

    @extend_schema(
        operation_id="get_trace",
        summary="Read the trace of a run, or of a model call outside of one",
        responses=TraceSerializer,
    )
    def get(self, request: Request, trace_id: str) -> Response:
        try:
            run, spans = selectors.get_trace(scope=self.scope, trace_id=trace_id)
        except NotFound:
            return self._calls(trace_id)
        trace = {
            "trace_id": trace_id,
            "run": run,
            "spans": spans,
            "decisions": governance.list_decisions(run_id=run.id),
            "usage": observability.list_usage_of_run(run_id=run.id),
        }
        return self.shaped(TraceSerializer, trace)

    def _calls(self, trace_id: str) -> Response:
        spans, calls = observability.get_call_trace(scope=self.scope, trace_id=trace_id)
        trace = {
            "trace_id": trace_id,
            "run": None,
            "spans": spans,
            "decisions": [],
            "usage": calls,
        }
        return self.shaped(TraceSerializer, trace)
