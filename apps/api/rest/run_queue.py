"""Why a run stands where it does, how the whole queue stands, and how much may run at once."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView
from apps.api.rest.fields import ObjectField, StrictSerializer, TimeField
from apps.api.rest.schema import listed
from apps.orchestration import selectors
from apps.orchestration.services import limiting
from apps.orchestration.types.serving import (
    ConcurrencyLimitView,
    Explanation,
    LimitKind,
    QueueCount,
    RunsHealth,
    WorkerView,
)
from octavo.kernel import ids
from octavo.kernel.ids import Kind

_KINDS = [str(kind) for kind in LimitKind]


class ExplanationSerializer(serializers.Serializer[Explanation]):
    """One sentence, and what a person can do."""

    code = serializers.CharField(
        help_text="`queued`, `no_worker`, `slot`, `backoff`, `running`, `lease_lost`, `paused`, "
        "`quarantined`, `ended`, or what it waits for: `approval`, `input`, `timer`, `run`, "
        "`effect`, `signal`."
    )
    summary = serializers.CharField()
    next_step = serializers.CharField(allow_blank=True)


class RunExplanationView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="explain_run",
        summary="Say why a run stands where it does",
        responses=ExplanationSerializer,
    )
    def get(self, request: Request, run_id: str) -> Response:
        key = ids.decode(Kind.RUN, run_id)
        why = selectors.explain_run(scope=self.scope, run_id=key)
        return self.shaped(ExplanationSerializer, why)


class QueueCountSerializer(serializers.Serializer[QueueCount]):
    """Runs in one state, and how many have been in it for longer than a while."""

    count = serializers.IntegerField()
    over_minute = serializers.IntegerField()
    over_ten_minutes = serializers.IntegerField()
    over_hour = serializers.IntegerField()
    oldest = TimeField(allow_null=True, help_text="Since when the first of them is in it.")


class WorkerSerializer(serializers.Serializer[WorkerView]):
    """A process that takes runs."""

    name = serializers.CharField()
    held = serializers.IntegerField(help_text="Runs that it has.")
    threads = serializers.IntegerField()
    started_at = TimeField()
    seen_at = TimeField()
    is_alive = serializers.BooleanField()
    duties = ObjectField(help_text="When it last finished each of its duties.")


class QueueStatesSerializer(serializers.Serializer[dict[str, QueueCount]]):
    """The live runs of the project."""

    queued = QueueCountSerializer()
    running = QueueCountSerializer()
    waiting = QueueCountSerializer()


class QueueSerializer(serializers.Serializer[RunsHealth]):
    """The project's runs, and what the installation does for them."""

    states = QueueStatesSerializer()
    waiting_for_slot = serializers.IntegerField(help_text="Held back by a concurrency limit.")
    expired_leases = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    last_hour = ObjectField(help_text="Runs that began in the last hour, by their status now.")
    timers_due = serializers.IntegerField()
    outbox = serializers.IntegerField(help_text="Promised jobs that are not published yet.")
    outbox_oldest_seconds = serializers.FloatField()
    workers = WorkerSerializer(many=True)


class RunQueueView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="get_run_queue",
        summary="Read how the queue of runs stands",
        responses=QueueSerializer,
    )
    def get(self, request: Request) -> Response:
        return self.shaped(QueueSerializer, selectors.get_health(scope=self.scope))


class LimitKeySerializer(StrictSerializer):
    kind = serializers.ChoiceField(_KINDS)
    target = serializers.CharField(
        max_length=200,
        default="",
        allow_blank=True,
        help_text="The agent's or the route's name; empty for the project.",
    )


class LimitBody(LimitKeySerializer):
    most = serializers.IntegerField(min_value=1, max_value=100_000)


class ConcurrencyLimitSerializer(serializers.Serializer[ConcurrencyLimitView]):
    """How many run at once at most, and how many do now."""

    kind = serializers.ChoiceField(_KINDS)
    target = serializers.CharField(allow_blank=True)
    most = serializers.IntegerField()
    running = serializers.IntegerField()
    waiting = serializers.IntegerField(help_text="Queued runs that wait for a slot.")


class RunLimitsView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="list_run_limits",
        summary="List how many runs may run at once",
        responses=listed(ConcurrencyLimitSerializer),
    )
    def get(self, request: Request) -> Response:
        found = selectors.list_limits(scope=self.scope)
        return self.listed(ConcurrencyLimitSerializer, found)

    @extend_schema(
        operation_id="set_run_limit",
        summary="Limit how many runs run at once",
        request=LimitBody,
        responses=ConcurrencyLimitSerializer,
        examples=[
            OpenApiExample(
                "Three runs of one agent",
                {"kind": "agent", "target": "scout", "most": 3},
                request_only=True,
            )
        ],
    )
    def put(self, request: Request) -> Response:
        body = self.checked(LimitBody)
        limit = limiting.set_limit(
            scope=self.scope,
            kind=LimitKind(body["kind"]),
            target=body["target"],
            most=body["most"],
        )
        return self.shaped(ConcurrencyLimitSerializer, limit)

    @extend_schema(
        operation_id="remove_run_limit",
        summary="Remove a limit",
        parameters=[LimitKeySerializer],
        responses={204: None},
    )
    def delete(self, request: Request) -> Response:
        query = self.query(LimitKeySerializer)
        limiting.remove_limit(
            scope=self.scope, kind=LimitKind(query["kind"]), target=query["target"]
        )
        return Response(status=204)
