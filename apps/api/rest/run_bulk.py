"""Cancel or retry every run that a filter finds: first ask how many, then start a job."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import IdField, ObjectField, StrictSerializer, TimeField
from apps.api.rest.paging import PageQuery, page
from apps.api.rest.run_filters import RunFilterSerializer, filter_of
from apps.api.rest.runs import RunSerializer
from apps.api.rest.schema import listed
from apps.orchestration import selectors
from apps.orchestration.services import bulk
from apps.orchestration.types.serving import BulkAction, BulkPlan, BulkView
from octavo.kernel import ids
from octavo.kernel.ids import Kind

_ACTIONS = [str(action) for action in BulkAction]


class BulkBody(StrictSerializer):
    action = serializers.ChoiceField(_ACTIONS)
    filter = RunFilterSerializer(help_text="Which runs; the same names as in `GET /api/v1/runs`.")
    dry_run = serializers.BooleanField(
        default=False, help_text="Only say how many runs fit, and show the newest of them."
    )
    expected = serializers.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        required=False,
        help_text="What the dry run said: 409 when more runs fit by now.",
    )


class BulkPlanSerializer(serializers.Serializer[BulkPlan]):
    """What would be done."""

    action = serializers.ChoiceField(_ACTIONS)
    matching = serializers.IntegerField()
    sample = RunSerializer(many=True)


class BulkJobSerializer(serializers.Serializer[BulkView]):
    """A bulk action and how far it is: `done + skipped + refused` of about `total` runs."""

    id = IdField(Kind.JOB)
    action = serializers.ChoiceField(_ACTIONS)
    status = serializers.SerializerMethodField()
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="Had moved on, or were retried before.")
    refused = serializers.IntegerField(help_text="What the asker may not do; see `problems`.")
    problems = serializers.ListField(
        child=ObjectField(), help_text="The first refusals: `{run, detail}`."
    )
    started_by = serializers.CharField()
    created_at = TimeField()
    finished_at = TimeField(allow_null=True)

    def get_status(self, job: BulkView) -> str:
        return "done" if job.finished_at else "running"


class RunsBulkView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="start_bulk_action",
        summary="Cancel or retry all runs that fit a filter",
        request=BulkBody,
        responses={
            200: BulkPlanSerializer,
            202: BulkJobSerializer,
        },
        examples=[
            OpenApiExample(
                "How many failed for want of a provider?",
                {"action": "retry", "filter": {"error": "provider"}, "dry_run": True},
                request_only=True,
            ),
            OpenApiExample(
                "Retry them",
                {"action": "retry", "filter": {"error": "provider"}, "expected": 12},
                request_only=True,
            ),
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(BulkBody)
        action, wanted = BulkAction(body["action"]), filter_of(body["filter"])
        if body["dry_run"]:
            plan = bulk.plan_bulk(scope=self.scope, action=action, wanted=wanted)
            return self.shaped(BulkPlanSerializer, plan)
        job = bulk.start_bulk(
            scope=self.scope, action=action, wanted=wanted, expected=body.get("expected")
        )
        return self.shaped(BulkJobSerializer, job, status=202)

    @extend_schema(
        operation_id="list_bulk_actions",
        summary="List bulk actions, newest first",
        parameters=[PageQuery],
        responses=listed(BulkJobSerializer),
    )
    def get(self, request: Request) -> Response:
        return page(
            lambda limit, before: selectors.list_bulk(scope=self.scope, limit=limit, before=before),
            query=self.query(PageQuery),
            serializer=BulkJobSerializer,
        )


class RunsBulkDetailView(ResourceView):
    tag = "runs"

    @extend_schema(
        operation_id="get_bulk_action",
        summary="Read how far a bulk action is",
        responses=BulkJobSerializer,
    )
    def get(self, request: Request, job_id: str) -> Response:
        job = selectors.get_bulk(scope=self.scope, job_id=ids.decode(Kind.JOB, job_id))
        return self.shaped(BulkJobSerializer, job)
