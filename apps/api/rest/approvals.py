"""Approvals: calls that wait for a person, and the person's verdict on exactly that call."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import IdField, ObjectField, StrictSerializer, TimeField
from apps.api.rest.paging import PageQuery, page
from apps.api.rest.schema import listed
from apps.governance import selectors
from apps.governance.services import approvals
from apps.governance.types import Approval, ApprovalStatus, Verdict
from octavo.kernel import ids
from octavo.kernel.ids import Kind

_STATUSES = [str(status) for status in ApprovalStatus]


class ApprovalSerializer(serializers.Serializer[Approval]):
    """A call that waits for a person; `action_hash` binds the verdict to exactly this call."""

    id = IdField(Kind.APPROVAL)
    run = IdField(Kind.RUN, source="run_id", allow_null=True)
    step = serializers.CharField()
    tool = serializers.CharField()
    arguments = ObjectField()
    action_hash = serializers.CharField()
    policy = serializers.CharField()
    bundle = serializers.CharField()
    requested_by = serializers.CharField()
    requested_at = TimeField()
    expires_at = TimeField()
    status = serializers.ChoiceField(_STATUSES)
    decided_by = serializers.CharField(allow_null=True)
    decided_at = TimeField(allow_null=True)
    note = serializers.CharField()


class ApprovalsQuery(PageQuery):
    status = serializers.ChoiceField(_STATUSES, required=False)


class VerdictBody(StrictSerializer):
    decision = serializers.ChoiceField([str(verdict) for verdict in Verdict])
    note = serializers.CharField(max_length=4000, default="", allow_blank=True)
    arguments = ObjectField(
        allow_null=True, default=None, help_text="Approve with these arguments instead."
    )


class ApprovalsView(ResourceView):
    tag = "approvals"

    @extend_schema(
        operation_id="list_approvals",
        summary="List approvals",
        parameters=[ApprovalsQuery],
        responses=listed(ApprovalSerializer),
    )
    def get(self, request: Request) -> Response:
        query = self.query(ApprovalsQuery)
        status = query.get("status")
        return page(
            lambda limit, before: selectors.list_approvals(
                scope=self.scope,
                status=ApprovalStatus(status) if status else None,
                limit=limit,
                before=before,
            ),
            query=query,
            serializer=ApprovalSerializer,
        )


class ApprovalDetailView(ResourceView):
    tag = "approvals"

    @extend_schema(
        operation_id="get_approval", summary="Read an approval", responses=ApprovalSerializer
    )
    def get(self, request: Request, approval_id: str) -> Response:
        found = selectors.get_approval(
            scope=self.scope, approval_id=ids.decode(Kind.APPROVAL, approval_id)
        )
        return self.shaped(ApprovalSerializer, found)


class ApprovalDecisionView(ResourceView):
    tag = "approvals"

    @extend_schema(
        operation_id="decide_approval",
        summary="Approve or refuse a waiting call",
        request=VerdictBody,
        responses=ApprovalSerializer,
        examples=[
            OpenApiExample(
                "Approve", {"decision": "approve", "note": "Checked the order."}, request_only=True
            )
        ],
    )
    @idempotent
    def post(self, request: Request, approval_id: str) -> Response:
        body = self.checked(VerdictBody)
        decided = approvals.decide(
            scope=self.scope,
            approval_id=ids.decode(Kind.APPROVAL, approval_id),
            verdict=Verdict(body["decision"]),
            note=body["note"],
            arguments=body["arguments"],
        )
        return self.shaped(ApprovalSerializer, decided)
