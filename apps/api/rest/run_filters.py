"""By what runs are sought: the same names in an address and in the body of a bulk request."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from apps.api.rest.base import ResourceView
from apps.api.rest.fields import IdField, ObjectField, StrictSerializer, TimeField, UsdField
from apps.api.rest.paging import PageQuery
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.serving import RunFilter
from octavo.kernel.ids import Kind

_METADATA = "metadata."
_LONGEST_SECONDS = 10**9


class RunFilterSerializer(StrictSerializer):
    """Each field narrows; without any, all runs are meant."""

    status = serializers.ChoiceField([str(status) for status in RunStatus], required=False)
    agent = serializers.CharField(max_length=200, required=False)
    workflow = serializers.CharField(max_length=200, required=False)
    tool = serializers.CharField(max_length=200, required=False)
    tag = serializers.CharField(
        max_length=500, required=False, help_text="A tag, or several with commas: all are there."
    )
    metadata = ObjectField(
        required=False, help_text="Keys of the run's metadata with the value that each must have."
    )
    min_cost = UsdField(required=False)
    max_cost = UsdField(required=False)
    min_seconds = serializers.FloatField(min_value=0, max_value=_LONGEST_SECONDS, required=False)
    max_seconds = serializers.FloatField(min_value=0, max_value=_LONGEST_SECONDS, required=False)
    error = serializers.CharField(
        max_length=200, required=False, help_text="The `code` of the error, such as `deadline`."
    )
    session = serializers.CharField(max_length=200, required=False)
    started_by = serializers.CharField(max_length=300, required=False)
    triggered_by = serializers.CharField(
        max_length=64, required=False, help_text="Id of a schedule, hook or event trigger."
    )
    parent = IdField(Kind.RUN, required=False)  # type: ignore[assignment]
    retry_of = IdField(Kind.RUN, required=False)
    roots = serializers.BooleanField(
        required=False, help_text="Only runs that no other run has started."
    )
    text = serializers.CharField(
        max_length=200, required=False, help_text="Text in the first 1,000 characters of the input."
    )
    since = TimeField(required=False)
    until = TimeField(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        fields["from"], fields["to"] = fields.pop("since"), fields.pop("until")
        return fields


class RunsQuery(PageQuery, RunFilterSerializer):
    """A page of the runs that fit."""


METADATA_PARAMETER = OpenApiParameter(
    "metadata.{key}",
    str,
    OpenApiParameter.QUERY,
    description="The value that this key of the metadata has, as in `metadata.customer=acme`.",
)


def query_of(view: ResourceView) -> dict[str, Any]:
    """The address as `RunsQuery` understands it, each `metadata.<key>` gathered in `metadata`."""
    given = {name: value for name, value in view.request.query_params.items() if value != ""}
    metadata = {
        name.removeprefix(_METADATA): given.pop(name)
        for name in list(given)
        if name.startswith(_METADATA)
    }
    found = RunsQuery(data=given | ({"metadata": metadata} if metadata else {}))
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


def filter_of(checked: Mapping[str, Any]) -> RunFilter:
    status = checked.get("status")
    tags = (tag.strip() for tag in checked.get("tag", "").split(","))
    return RunFilter(
        status=RunStatus(status) if status else None,
        agent=checked.get("agent", ""),
        workflow=checked.get("workflow", ""),
        tool=checked.get("tool", ""),
        tags=tuple(tag for tag in tags if tag),
        metadata={key: _text(value) for key, value in checked.get("metadata", {}).items()},
        min_cost=checked.get("min_cost"),
        max_cost=checked.get("max_cost"),
        min_seconds=checked.get("min_seconds"),
        max_seconds=checked.get("max_seconds"),
        error=checked.get("error", ""),
        session=checked.get("session", ""),
        started_by=checked.get("started_by", ""),
        triggered_by=checked.get("triggered_by", ""),
        parent=checked.get("parent"),
        retry_of=checked.get("retry_of"),
        only_roots=checked.get("roots", False),
        since=checked.get("from"),
        until=checked.get("to"),
        text=checked.get("text", ""),
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
