"""Event triggers: runs that start when an entry is written or a run is finished."""

from collections.abc import Mapping
from typing import Any, cast

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest import triggers
from apps.api.rest.base import idempotent
from apps.api.rest.fields import StrictSerializer
from apps.api.rest.schema import listed
from apps.orchestration import selectors
from apps.orchestration.services import reacting
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.triggers import EventSettings, TriggerEvent, TriggerKind

_EVENTS = [str(event) for event in TriggerEvent]
_FINAL = [str(status) for status in RunStatus if status.is_final]


class MatchBody(StrictSerializer):
    """Which events it fits: `space` and `key` of an entry; `statuses` of a run, and its `agent` or
    `workflow`.
    """

    space = serializers.CharField(max_length=200, required=False)
    key = serializers.CharField(
        max_length=500, required=False, help_text="A key, or a pattern such as `docs/*.md`."
    )
    agent = serializers.CharField(max_length=200, required=False)
    workflow = serializers.CharField(max_length=200, required=False)
    statuses = serializers.ListField(
        child=serializers.ChoiceField(_FINAL),
        required=False,
        max_length=len(_FINAL),
        help_text="All of them without any.",
    )


class EventTriggerChanges(triggers.TargetChanges):
    on = serializers.ChoiceField(_EVENTS, required=False)
    match = MatchBody(required=False)
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)


class EventTriggerBody(EventTriggerChanges):
    on = serializers.ChoiceField(_EVENTS)


class EventTriggerSerializer(triggers.TriggerSerializer):
    """An event trigger as it stands."""

    on = serializers.ChoiceField(_EVENTS, source="settings.on")
    match = serializers.SerializerMethodField()

    def get_match(self, trigger: Any) -> dict[str, Any]:
        settings: EventSettings = trigger.settings
        if settings.on is TriggerEvent.ENTRY_WRITTEN:
            return {"space": settings.space, "key": settings.key}
        found: dict[str, Any] = {"statuses": [str(status) for status in settings.statuses]}
        named = {"agent": settings.agent, "workflow": settings.workflow}
        return {**found, **{kind: name for kind, name in named.items() if name}}


def _settings(on: str, match: Mapping[str, Any]) -> EventSettings:
    statuses = tuple(RunStatus(status) for status in match.get("statuses", ()))
    return EventSettings(on=TriggerEvent(on), **{**match, "statuses": statuses})


class _OfEvents(triggers.TriggerResource):
    kind = TriggerKind.EVENT
    shape = EventTriggerSerializer


@extend_schema_view(
    get=extend_schema(
        operation_id="list_event_triggers",
        summary="List event triggers, newest first",
        parameters=[triggers.TriggersQuery],
        responses=listed(EventTriggerSerializer),
    )
)
class EventTriggersView(_OfEvents, triggers.TriggerListView):
    @extend_schema(
        operation_id="create_event_trigger",
        summary="Start runs when something happens",
        request=EventTriggerBody,
        responses={201: EventTriggerSerializer},
        examples=[
            OpenApiExample(
                "When a page of the handbook is written",
                {
                    "agent": "guide",
                    "on": "entry_written",
                    "match": {"space": "handbook", "key": "docs/*"},
                },
                request_only=True,
            ),
            OpenApiExample(
                "When a run of an agent fails",
                {
                    "agent": "triage",
                    "on": "run_finished",
                    "match": {"agent": "guide", "statuses": ["failed", "quarantined"]},
                },
                request_only=True,
            ),
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(EventTriggerBody)
        created = reacting.create_event_trigger(
            scope=self.scope,
            agent=body.get("agent", ""),
            workflow=body.get("workflow", ""),
            settings=_settings(body["on"], body.get("match", {})),
            name=body.get("name", ""),
        )
        return self.shaped(EventTriggerSerializer, created, status=201)


@extend_schema_view(
    get=extend_schema(
        operation_id="get_event_trigger",
        summary="Read an event trigger",
        responses=EventTriggerSerializer,
    ),
    delete=extend_schema(
        operation_id="delete_event_trigger",
        summary="Delete an event trigger and the record of its firings",
        responses={204: None},
    ),
)
class EventTriggerDetailView(_OfEvents, triggers.TriggerDetailView):
    @extend_schema(
        operation_id="change_event_trigger",
        summary="Change an event trigger",
        request=EventTriggerChanges,
        responses=EventTriggerSerializer,
        examples=[
            OpenApiExample(
                "Fewer keys",
                {"match": {"space": "handbook", "key": "docs/*.md"}},
                request_only=True,
            )
        ],
    )
    def patch(self, request: Request, trigger_id: str) -> Response:
        found = self.decoded(trigger_id)
        changes = self.checked(EventTriggerChanges)
        on, match = changes.pop("on", None), changes.pop("match", None)
        if on is not None or match is not None:
            before = selectors.get_trigger(scope=self.scope, kind=self.kind, trigger_id=found)
            kept = cast("EventSettings", before.settings)
            changes["settings"] = _settings(on or str(kept.on), match or {})
        changed = reacting.change_event_trigger(scope=self.scope, trigger_id=found, changes=changes)
        return self.shaped(EventTriggerSerializer, changed)


@extend_schema_view(
    post=extend_schema(
        operation_id="pause_event_trigger",
        summary="Let events pass until it is resumed",
        request=None,
        responses=EventTriggerSerializer,
    )
)
class EventTriggerPauseView(_OfEvents, triggers.TriggerPauseView):
    pass


@extend_schema_view(
    post=extend_schema(
        operation_id="resume_event_trigger",
        summary="React to events again",
        request=None,
        responses=EventTriggerSerializer,
    )
)
class EventTriggerResumeView(_OfEvents, triggers.TriggerResumeView):
    pass


@extend_schema_view(
    get=extend_schema(
        operation_id="list_event_trigger_firings",
        summary="List events and what came of each, newest first",
        parameters=[triggers.FiringsQuery],
        responses=listed(triggers.FiringSerializer),
    )
)
class EventTriggerFiringsView(_OfEvents, triggers.TriggerFiringsView):
    pass
