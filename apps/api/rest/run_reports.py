"""Loops outside report what they did; the same report may be sent again."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import idempotent
from apps.api.rest.fields import ObjectField, StrictSerializer
from apps.api.rest.runs import RunJournalView, RunSerializer
from apps.orchestration.services import outside
from apps.orchestration.types.histories import Reported
from apps.orchestration.types.runs import EventType
from octavo.kernel import ids
from octavo.kernel.ids import Kind


class ReportBody(StrictSerializer):
    step_key = serializers.CharField(
        max_length=200,
        default="",
        allow_blank=True,
        help_text="Names the step in your loop, once for each type; may be empty for the end.",
    )
    type = serializers.ChoiceField([str(kind) for kind in outside.TYPES])
    data = ObjectField(default=dict)  # type: ignore[assignment]


class ReportsBody(StrictSerializer):
    events = serializers.ListField(child=ReportBody(), max_length=outside.MOST_EVENTS)


class ReportedSerializer(serializers.Serializer[Reported]):
    accepted = serializers.IntegerField(help_text="How many of the events are new.")
    repeated = serializers.IntegerField(help_text="How many were there already.")
    cancel_requested = serializers.BooleanField(
        source="run.cancel_requested", help_text="Somebody wants the run to end: stop your loop."
    )
    run = RunSerializer()


class RunJournalResource(RunJournalView):
    @extend_schema(
        operation_id="report_run_events",
        summary="Report what a loop of your own did in an external run",
        request=ReportsBody,
        responses=ReportedSerializer,
        examples=[
            OpenApiExample(
                "A model's answer and a note",
                {
                    "events": [
                        {
                            "step_key": "agent.1",
                            "type": "model_answered",
                            "data": {
                                "model": "default",
                                "content": "It is sunny.",
                                "usage": {"input_tokens": 20, "output_tokens": 5},
                            },
                        },
                        {"step_key": "note.1", "type": "note", "data": {"text": "Half way."}},
                    ]
                },
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        events: list[dict[str, Any]] = self.checked(ReportsBody)["events"]
        found = outside.report(
            scope=self.scope,
            run_id=ids.decode(Kind.RUN, run_id),
            reports=[
                outside.Report(
                    step_key=event["step_key"], type=EventType(event["type"]), data=event["data"]
                )
                for event in events
            ],
        )
        return self.shaped(ReportedSerializer, found)
