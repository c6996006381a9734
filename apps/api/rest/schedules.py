"""Schedules: runs that start by the clock."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest import triggers
from apps.api.rest.base import idempotent
from apps.api.rest.fields import AnyField, TimeField
from apps.api.rest.schema import listed
from apps.orchestration.services import scheduling
from apps.orchestration.types.triggers import Missed, Overlap, TriggerKind

_OVERLAPS = [str(policy) for policy in Overlap]
_MISSED = [str(policy) for policy in Missed]
_EXAMPLE = {
    "name": "morning report",
    "agent": "guide",
    "input": "What is new in the handbook?",
    "cron": "0 9 * * 1-5",
    "timezone": "Europe/Berlin",
}


class ScheduleChanges(triggers.TargetChanges):
    input = AnyField(required=False, help_text="What each run begins with: a string or an object.")
    cron = serializers.CharField(
        max_length=200,
        allow_null=True,
        required=False,
        help_text="Five fields, as in `0 9 * * 1-5`; or `@hourly`, `@daily`, `@weekly`.",
    )
    every_seconds = serializers.IntegerField(
        min_value=1, max_value=366 * 86400, allow_null=True, required=False
    )
    timezone = serializers.CharField(
        max_length=64, required=False, help_text="IANA name for `cron`, UTC without one."
    )
    overlap = serializers.ChoiceField(
        _OVERLAPS,
        required=False,
        help_text="When its last run has not ended: `skip` (without one), `queue` or `parallel`.",
    )
    missed = serializers.ChoiceField(
        _MISSED,
        required=False,
        help_text="Times at which no worker ran: `skip`, `run_once` (without one) or `run_all`.",
    )
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)

    def validate_input(self, value: Any) -> Any:
        if not isinstance(value, str | dict):
            raise serializers.ValidationError("Expected a string or an object.")
        return value


class ScheduleBody(ScheduleChanges):
    input = AnyField(help_text="What each run begins with: a string or an object.")


class ScheduleSerializer(triggers.TriggerSerializer):
    """A schedule as it stands."""

    input = AnyField(source="settings.input")
    cron = serializers.CharField(source="settings.timing.cron", allow_null=True)
    every_seconds = serializers.IntegerField(
        source="settings.timing.every_seconds", allow_null=True
    )
    timezone = serializers.CharField(source="settings.timing.timezone")
    overlap = serializers.ChoiceField(_OVERLAPS, source="settings.overlap")
    missed = serializers.ChoiceField(_MISSED, source="settings.missed")
    next_runs = serializers.ListField(
        child=TimeField(), help_text="The next five times; none while it is paused."
    )


def _shaped(body: dict[str, Any]) -> dict[str, Any]:
    """The policies as what they are."""
    kinds = {"overlap": Overlap, "missed": Missed}
    return {key: kinds[key](value) if key in kinds else value for key, value in body.items()}


class _OfSchedules(triggers.TriggerResource):
    kind = TriggerKind.SCHEDULE
    shape = ScheduleSerializer


@extend_schema_view(
    get=extend_schema(
        operation_id="list_schedules",
        summary="List schedules, newest first",
        parameters=[triggers.TriggersQuery],
        responses=listed(ScheduleSerializer),
    )
)
class SchedulesView(_OfSchedules, triggers.TriggerListView):
    @extend_schema(
        operation_id="create_schedule",
        summary="Start runs by the clock",
        request=ScheduleBody,
        responses={201: ScheduleSerializer},
        examples=[OpenApiExample("Every working day at nine", _EXAMPLE, request_only=True)],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = _shaped(self.checked(ScheduleBody))
        created = scheduling.create_schedule(scope=self.scope, **body)
        return self.shaped(ScheduleSerializer, created, status=201)


@extend_schema_view(
    get=extend_schema(
        operation_id="get_schedule", summary="Read a schedule", responses=ScheduleSerializer
    ),
    delete=extend_schema(
        operation_id="delete_schedule",
        summary="Delete a schedule and the record of its firings",
        responses={204: None},
    ),
)
class ScheduleDetailView(_OfSchedules, triggers.TriggerDetailView):
    @extend_schema(
        operation_id="change_schedule",
        summary="Change a schedule",
        request=ScheduleChanges,
        responses=ScheduleSerializer,
        examples=[
            OpenApiExample(
                "Every ten minutes, one after the other",
                {"every_seconds": 600, "overlap": "queue"},
                request_only=True,
            )
        ],
    )
    def patch(self, request: Request, trigger_id: str) -> Response:
        changed = scheduling.change_schedule(
            scope=self.scope,
            schedule_id=self.decoded(trigger_id),
            changes=_shaped(self.checked(ScheduleChanges)),
        )
        return self.shaped(ScheduleSerializer, changed)


@extend_schema_view(
    post=extend_schema(
        operation_id="pause_schedule",
        summary="Start no runs until it is resumed",
        request=None,
        responses=ScheduleSerializer,
    )
)
class SchedulePauseView(_OfSchedules, triggers.TriggerPauseView):
    pass


@extend_schema_view(
    post=extend_schema(
        operation_id="resume_schedule",
        summary="Let a schedule go on",
        request=None,
        responses=ScheduleSerializer,
    )
)
class ScheduleResumeView(_OfSchedules, triggers.TriggerResumeView):
    pass


class ScheduleRunView(_OfSchedules):
    @extend_schema(
        operation_id="run_schedule_now",
        summary="Start a run of a schedule at once",
        request=None,
        responses={201: triggers.FiringSerializer},
    )
    @idempotent
    def post(self, request: Request, trigger_id: str) -> Response:
        """In your own name, whatever the overlap policy, and also while it is paused."""
        firing = scheduling.run_now(scope=self.scope, schedule_id=self.decoded(trigger_id))
        return self.shaped(triggers.FiringSerializer, firing, status=201)


@extend_schema_view(
    get=extend_schema(
        operation_id="list_schedule_firings",
        summary="List what came of each due time, newest first",
        parameters=[triggers.FiringsQuery],
        responses=listed(triggers.FiringSerializer),
    )
)
class ScheduleFiringsView(_OfSchedules, triggers.TriggerFiringsView):
    pass
