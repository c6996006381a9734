"""Runs: start, wait a little, read, follow, cancel. The run itself belongs to the workers."""

import re
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import live
from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import (
    AnyField,
    IdField,
    ObjectField,
    StrictSerializer,
    TimeField,
    UsdField,
)
from apps.api.rest.paging import page
from apps.api.rest.run_filters import METADATA_PARAMETER, RunsQuery, filter_of, query_of
from apps.api.rest.schema import listed
from apps.orchestration import selectors
from apps.orchestration.services import outside, starting, workflow_runs
from apps.orchestration.types.runs import (
    EventType,
    EventView,
    ForkPoint,
    Priority,
    RunStatus,
    RunView,
)
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput
from octavo.kernel.ids import Kind

MAX_WAIT_SECONDS = 60
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_STATUSES = [str(status) for status in RunStatus]


class RunBody(StrictSerializer):
    agent = serializers.CharField(max_length=200, required=False)
    workflow = serializers.CharField(
        max_length=200, required=False, help_text="Either this or `agent`."
    )
    input = AnyField(help_text="The question or task: a string, or an object.")
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, allow_null=True, default=None
    )
    wait_seconds = serializers.IntegerField(
        min_value=0,
        max_value=MAX_WAIT_SECONDS,
        default=0,
        help_text="Answer when the run ends or waits for someone, at the latest after so long.",
    )
    budget_usd = UsdField(allow_null=True, default=None)
    session = serializers.CharField(max_length=200, default="", allow_blank=True)
    metadata = ObjectField(default=dict)
    tags = serializers.ListField(
        child=serializers.CharField(max_length=40),
        max_length=10,
        default=list,
        help_text="Short words to find the run by: 1 to 40 of a-z, 0-9 and `. _ : / -`.",
    )
    priority = serializers.ChoiceField(
        [str(priority) for priority in Priority],
        default=str(Priority.NORMAL),
        help_text="How soon it is taken among the queued runs of its project.",
    )
    external = serializers.BooleanField(
        default=False, help_text="The loop is yours: no worker takes the run, you report its steps."
    )

    def validate(self, body: dict[str, Any]) -> dict[str, Any]:
        if ("agent" in body) == ("workflow" in body):
            raise serializers.ValidationError(
                {"agent": ["Name either an agent or a workflow, and not both."]}
            )
        return body

    def validate_input(self, value: Any) -> Any:
        if not isinstance(value, str | dict):
            raise serializers.ValidationError("Expected a string or an object.")
        if not value or (isinstance(value, str) and not value.strip()):
            raise serializers.ValidationError("Must not be empty: it is what the agent works on.")
        return value


class UsageSerializer(serializers.Serializer[RunView]):
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = UsdField()


class WaitingOnSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["approval", "timer", "signal", "run", "input", "effect"])
    id = serializers.CharField()
    since = TimeField()
    until = TimeField(allow_null=True)


class ForkPointSerializer(serializers.Serializer[ForkPoint]):
    run = IdField(Kind.RUN)
    step = serializers.CharField()


class RunSerializer(serializers.Serializer[RunView]):
    """A run as it stands."""

    id = IdField(Kind.RUN)
    agent = serializers.CharField(allow_null=True)
    workflow = serializers.CharField(allow_null=True)
    version = serializers.IntegerField(allow_null=True)
    tool = serializers.CharField(
        allow_blank=True, help_text="The tool, for a run that is one tool call; else empty."
    )
    status = serializers.ChoiceField(_STATUSES)
    input = AnyField()
    output = ObjectField(
        allow_null=True,
        help_text="`{text, citations: [{space, key, revision, chunk, start, end}], data?, "
        "answered_by?: {run, agent}}`; `answered_by` where another agent took over and answered.",
    )
    error = ObjectField(allow_null=True, help_text="`{code, detail}` of a failed run.")
    waiting_on = WaitingOnSerializer(allow_null=True)
    steps = serializers.IntegerField()
    usage = UsageSerializer(source="*")
    trace_id = serializers.CharField()
    parent = IdField(Kind.RUN, allow_null=True)  # type: ignore[assignment]
    forked_from = ForkPointSerializer(allow_null=True)
    given_route = serializers.CharField(
        help_text="Given to a fork in place of its agent's; else empty."
    )
    dry_run = serializers.BooleanField(source="is_dry_run")
    external = serializers.BooleanField(
        source="is_external", help_text="Its loop is outside; what it says is as reported."
    )
    cancel_requested = serializers.BooleanField()
    started_by = serializers.CharField()
    triggered_by = serializers.CharField(
        allow_blank=True,
        help_text="The schedule, hook or event trigger that started it; else empty.",
    )
    session = serializers.CharField()
    metadata = ObjectField()
    tags = serializers.ListField(child=serializers.CharField())
    priority = serializers.ChoiceField([str(priority) for priority in Priority])
    retry_of = IdField(Kind.RUN, allow_null=True, help_text="The run that this one does again.")
    created_at = TimeField()
    started_at = TimeField(allow_null=True)
    finished_at = TimeField(allow_null=True)


class EventSerializer(serializers.Serializer[EventView]):
    """One journal event."""

    seq = serializers.IntegerField()
    type = serializers.ChoiceField([str(kind) for kind in EventType])
    at = TimeField()
    started_at = TimeField()
    step = serializers.CharField()
    attempt = serializers.IntegerField()
    inherited = serializers.BooleanField(help_text="Taken over from the run that was forked.")
    data = ObjectField()  # type: ignore[assignment]


class JournalQuery(StrictSerializer):
    after = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    cursor = serializers.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        required=False,
        help_text="`next_cursor` of the page before: another name for `after`.",
    )
    limit = serializers.IntegerField(min_value=1, max_value=200, default=200)


class RunsView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="start_run",
        summary="Start a run",
        request=RunBody,
        responses={201: RunSerializer},
        examples=[
            OpenApiExample(
                "Ask the guide and wait",
                {
                    "agent": "guide",
                    "input": "How do I add my own files to a space?",
                    "wait_seconds": 60,
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        response = self._start(request)
        body = self.checked(RunBody)
        wait = 0 if body["external"] else body["wait_seconds"]
        if wait and response.status_code == 201:
            run_id = ids.decode(Kind.RUN, response.data["id"])
            response.data = RunSerializer(self._settled(run_id, wait)).data
        return response

    @idempotent
    def _start(self, request: Request) -> Response:
        body = self.checked(RunBody)
        if body["external"]:
            return self._open(request, body)
        names = ("input", "version", "budget_usd", "session", "metadata", "tags")
        given = {name: body[name] for name in names}
        given |= {
            "scope": self.scope,
            "traceparent": traceparent_of(request),
            "priority": Priority(body["priority"]),
        }
        if "workflow" in body:
            run = workflow_runs.start_workflow(workflow=body["workflow"], **given)
        else:
            run = starting.start_run(agent=body["agent"], **given)
        return self.shaped(RunSerializer, run, status=201)

    def _open(self, request: Request, body: dict[str, Any]) -> Response:
        if body["budget_usd"] is not None:
            detail = "a loop of your own spends by itself; bound its key with a budget instead."
            raise InvalidInput(
                f"The run cannot start: budget_usd: {detail}",
                errors=[{"path": "/budget_usd", "detail": detail}],
            )
        run = outside.open_run(
            scope=self.scope,
            agent=body["agent"],
            input=body["input"],
            version=body["version"],
            session=body["session"],
            metadata=body["metadata"],
            traceparent=traceparent_of(request),
            tags=body["tags"],
        )
        return self.shaped(RunSerializer, run, status=201)

    def _settled(self, run_id: UUID, seconds: int) -> RunView:
        live.wait(run_id, lambda: is_settled(self._run(run_id)), seconds=seconds)
        return self._run(run_id)

    def _run(self, run_id: UUID) -> RunView:
        return selectors.get_run(scope=self.scope, run_id=run_id)

    @extend_schema(
        operation_id="list_runs",
        summary="List runs, newest first",
        parameters=[RunsQuery, METADATA_PARAMETER],
        responses=listed(RunSerializer),
    )
    def get(self, request: Request) -> Response:
        query = query_of(self)
        wanted = filter_of(query)
        return page(
            lambda limit, before: selectors.list_runs(
                scope=self.scope, wanted=wanted, limit=limit, before=before
            ),
            query=query,
            serializer=RunSerializer,
        )


def traceparent_of(request: Request) -> str:
    """The caller's W3C trace context, to link the run to it; "" without a valid one."""
    given: str = request.headers.get("traceparent", "")
    return given if _TRACEPARENT.fullmatch(given) else ""


def is_settled(run: RunView) -> bool:
    """Over, or waiting for someone: no worker will move it soon."""
    waits = run.waiting_on is not None and run.waiting_on.kind not in {"timer", "run"}
    return run.status.is_final or (run.status is RunStatus.WAITING and waits)


class RunDetailView(ResourceView):
    tag = "runs"

    @extend_schema(operation_id="get_run", summary="Read a run", responses=RunSerializer)
    def get(self, request: Request, run_id: str) -> Response:
        run = selectors.get_run(scope=self.scope, run_id=ids.decode(Kind.RUN, run_id))
        return self.shaped(RunSerializer, run)


class RunJournalView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="list_run_journal",
        summary="Read a run's journal, oldest first",
        parameters=[JournalQuery],
        responses=listed(EventSerializer),
    )
    def get(self, request: Request, run_id: str) -> Response:
        query = self.query(JournalQuery)
        events = selectors.list_events(
            scope=self.scope,
            run_id=ids.decode(Kind.RUN, run_id),
            after=query.get("cursor", query["after"]),
            limit=query["limit"] + 1,
        )
        items = events[: query["limit"]]
        following = str(items[-1].seq) if len(events) > len(items) else None
        return self.listed(EventSerializer, items, next_cursor=following)
