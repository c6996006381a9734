"""What schedules, hooks and event triggers answer alike: lists, one of them, hold, end, firings."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import IdField, StrictSerializer, TimeField
from apps.api.rest.paging import PageQuery, page
from apps.orchestration import selectors
from apps.orchestration.services import triggers
from apps.orchestration.types.triggers import FiringOutcome, FiringView, TriggerKind, TriggerView
from octavo.kernel import ids
from octavo.kernel.ids import Kind

ACTIVE, PAUSED = "active", "paused"
_STATES = [ACTIVE, PAUSED]
_OUTCOMES = [str(outcome) for outcome in FiringOutcome]


class FiringSerializer(serializers.Serializer[FiringView]):
    """One time that a trigger was due, called or met its event, and what came of it."""

    id = IdField(Kind.FIRING)
    outcome = serializers.ChoiceField(_OUTCOMES)
    reason = serializers.CharField(help_text="Why no run was started; else empty.")
    run = IdField(Kind.RUN, source="run_id", allow_null=True)
    due_at = TimeField(help_text="When the run should have started.")
    at = TimeField(help_text="When this was decided.")


class TriggerSerializer(serializers.Serializer[TriggerView]):
    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    agent = serializers.CharField(allow_null=True)
    workflow = serializers.CharField(allow_null=True)
    state = serializers.SerializerMethodField()
    owner = serializers.CharField(help_text="In whose name its runs start: who saved it last.")
    last_firing = FiringSerializer(source="last", allow_null=True)
    created_at = TimeField()
    updated_at = TimeField()

    def get_state(self, trigger: TriggerView) -> str:
        return PAUSED if trigger.paused_at else ACTIVE


class TargetChanges(StrictSerializer):
    """What a trigger starts: an agent or a workflow."""

    agent = serializers.CharField(max_length=200, required=False)
    workflow = serializers.CharField(
        max_length=200, required=False, help_text="Either this or `agent`."
    )


class TriggersQuery(PageQuery):
    agent = serializers.CharField(max_length=200, required=False)
    workflow = serializers.CharField(max_length=200, required=False)
    state = serializers.ChoiceField(_STATES, required=False)


class FiringsQuery(PageQuery):
    outcome = serializers.ChoiceField(_OUTCOMES, required=False)


class TriggerResource(ResourceView):
    """`kind` and `shape` say which triggers a view is about, and how each is answered."""

    tag = "triggers"
    kind: TriggerKind
    shape: type[BaseSerializer[Any]] = TriggerSerializer

    def decoded(self, public_id: str) -> UUID:
        return ids.decode(self.kind.id_kind, public_id)


class TriggerListView(TriggerResource):
    def get(self, request: Request) -> Response:
        query = self.query(TriggersQuery)
        state = query.get("state")
        return page(
            lambda limit, before: selectors.list_triggers(
                scope=self.scope,
                kind=self.kind,
                limit=limit,
                before=before,
                agent=query.get("agent"),
                workflow=query.get("workflow"),
                is_paused=None if state is None else state == PAUSED,
            ),
            query=query,
            serializer=self.shape,
        )


class TriggerDetailView(TriggerResource):
    def get(self, request: Request, trigger_id: str) -> Response:
        found = selectors.get_trigger(
            scope=self.scope, kind=self.kind, trigger_id=self.decoded(trigger_id)
        )
        return self.shaped(self.shape, found)

    def delete(self, request: Request, trigger_id: str) -> Response:
        triggers.delete_trigger(
            scope=self.scope, kind=self.kind, trigger_id=self.decoded(trigger_id)
        )
        return Response(status=204)


class TriggerPauseView(TriggerResource):
    @idempotent
    def post(self, request: Request, trigger_id: str) -> Response:
        held = triggers.pause_trigger(
            scope=self.scope, kind=self.kind, trigger_id=self.decoded(trigger_id)
        )
        return self.shaped(self.shape, held)


class TriggerResumeView(TriggerResource):
    @idempotent
    def post(self, request: Request, trigger_id: str) -> Response:
        resumed = triggers.resume_trigger(
            scope=self.scope, kind=self.kind, trigger_id=self.decoded(trigger_id)
        )
        return self.shaped(self.shape, resumed)


class TriggerFiringsView(TriggerResource):
    def get(self, request: Request, trigger_id: str) -> Response:
        query = self.query(FiringsQuery)
        outcome = query.get("outcome")
        return page(
            lambda limit, before: selectors.list_firings(
                scope=self.scope,
                kind=self.kind,
                trigger_id=self.decoded(trigger_id),
                limit=limit,
                before=before,
                outcome=FiringOutcome(outcome) if outcome else None,
            ),
            query=query,
            serializer=FiringSerializer,
        )
