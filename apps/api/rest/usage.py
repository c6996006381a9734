"""Usage: what the project's model calls add up to, by whatever one wants to know it by."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents import selectors as agents
from apps.api.rest.base import ResourceView
from apps.api.rest.fields import TimeField, UsdField
from apps.api.rest.paging import PageQuery, decode_cursor, encode_cursor
from apps.observability import selectors
from apps.observability.types import GroupBy, UsageGroup
from octavo.kernel import ids
from octavo.kernel.ids import Kind

_ID_KINDS = {GroupBy.AGENT: Kind.AGENT, GroupBy.KEY: Kind.KEY, GroupBy.PROJECT: Kind.PROJECT}
_MOST_GROUPS = 2**31 - 1


class UsageQuery(PageQuery):
    group_by = serializers.ChoiceField(
        [str(group) for group in GroupBy], default=str(GroupBy.DAY), help_text="One group an item."
    )
    since = TimeField(required=False)
    until = TimeField(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        fields["from"], fields["to"] = fields.pop("since"), fields.pop("until")
        return fields


class UsageTotalSerializer(serializers.Serializer[Any]):
    calls = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = UsdField()


class UsageGroupSerializer(UsageTotalSerializer):
    """`failed` calls are among the `calls`, with what they used before they broke off."""

    group = serializers.CharField(
        allow_null=True,
        help_text="An id (agent, key, project), a name (route, provider/model) or a date; null for "
        "calls without one.",
    )
    name = serializers.CharField(allow_null=True, help_text="Of an agent that still exists.")
    failed = serializers.IntegerField()


class UsageView(ResourceView):
    tag = "traces"

    @extend_schema(
        operation_id="list_usage",
        summary="Sum up usage and cost",
        parameters=[UsageQuery],
        responses=inline_serializer(
            "UsagePage",
            {
                "items": UsageGroupSerializer(many=True),
                "total": UsageTotalSerializer(),
                "next_cursor": serializers.CharField(allow_null=True),
            },
        ),
    )
    def get(self, request: Request) -> Response:
        query = self.query(UsageQuery)
        span = {"since": query.get("from"), "until": query.get("to")}
        cursor = decode_cursor(query.get("cursor", ""))
        offset = 0 if cursor is None else min(cursor.int, _MOST_GROUPS)
        group_by, limit = GroupBy(query["group_by"]), query["limit"]
        found = selectors.list_usage(
            scope=self.scope, group_by=group_by, limit=limit + 1, offset=offset, **span
        )
        groups = found[:limit]
        names = self._names(groups) if group_by is GroupBy.AGENT else {}
        shaped = [_shaped(group, _ID_KINDS.get(group_by), names) for group in groups]
        total = selectors.get_usage(scope=self.scope, **span)
        following = encode_cursor(offset + limit) if len(found) > limit else None
        return Response(
            {
                "items": UsageGroupSerializer(shaped, many=True).data,
                "total": UsageTotalSerializer(total).data,
                "next_cursor": following,
            }
        )

    def _names(self, groups: Sequence[UsageGroup]) -> Mapping[UUID, str]:
        known = [group.of for group in groups if isinstance(group.of, UUID)]
        return agents.agent_names(scope=self.scope, agent_ids=known)


def _shaped(group: UsageGroup, kind: Kind | None, names: Mapping[UUID, str]) -> dict[str, Any]:
    is_id = isinstance(group.of, UUID) and kind is not None
    return {
        "group": ids.encode(kind, group.of) if is_id else group.of,  # type: ignore[arg-type]
        "name": names.get(group.of) if isinstance(group.of, UUID) else None,
        "calls": group.calls,
        "failed": group.failed,
        "input_tokens": group.input_tokens,
        "output_tokens": group.output_tokens,
        "cost_usd": group.cost_usd,
    }
