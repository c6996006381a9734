"""What changed, and taking it back: differences, snapshots, rollback, branches, merges, readers."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import AnyField, IdField, StrictSerializer, TimeField
from apps.api.rest.moments import MomentField
from apps.api.rest.paging import PageQuery, cursor_number, page
from apps.api.rest.schema import listed
from apps.api.rest.spaces import RevisionSerializer, SpaceSerializer
from apps.context import selectors
from apps.context.services import merging, versions
from apps.context.types import (
    Change,
    Changed,
    ChangeKind,
    Diff,
    DiffLine,
    Hunk,
    Reading,
    Resolution,
    Side,
    SnapshotView,
    SpaceChange,
)
from octavo.kernel.ids import Kind

_WHY = "Why this is done; kept for good."
_MAX = 2**31 - 1


class DiffQuery(StrictSerializer):
    """`from` and `to`: revision numbers; 0 is the empty text before the first."""

    def get_fields(self) -> dict[str, Any]:
        return {
            "from": serializers.IntegerField(min_value=0, max_value=_MAX, required=False),
            "to": serializers.IntegerField(min_value=1, max_value=_MAX, required=False),
        }


class DiffLineSerializer(serializers.Serializer[DiffLine]):
    op = serializers.ChoiceField(["same", "removed", "added"])
    old = serializers.IntegerField(allow_null=True)
    new = serializers.IntegerField(allow_null=True)
    text = serializers.CharField()


class HunkSerializer(serializers.Serializer[Hunk]):
    old_start = serializers.IntegerField()
    old_lines = serializers.IntegerField()
    new_start = serializers.IntegerField()
    new_lines = serializers.IntegerField()
    lines = DiffLineSerializer(many=True)


class DiffSerializer(serializers.Serializer[Diff]):
    """Both sides as lines with their numbers, and the same as one unified text."""

    space = serializers.CharField()
    key = serializers.CharField()
    before = RevisionSerializer(allow_null=True)
    after = RevisionSerializer()
    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    hunks = HunkSerializer(many=True)
    unified = serializers.CharField()


class SpaceChangeSerializer(serializers.Serializer[SpaceChange]):
    """One transaction. `revision` of `key` stands for the `revisions` that came of it."""

    key = serializers.CharField()
    revision = RevisionSerializer()
    revisions = serializers.IntegerField()


class SnapshotBody(StrictSerializer):
    name = serializers.CharField(max_length=63)


class SnapshotSerializer(serializers.Serializer[SnapshotView]):
    """A name for a sequence number of the space."""

    name = serializers.CharField()
    seq = serializers.IntegerField()
    author = serializers.CharField()
    created_at = TimeField()


class RollbackQuery(StrictSerializer):
    preview = serializers.BooleanField(
        default=False, help_text="Only say what would change; nothing happens."
    )


class RollbackBody(StrictSerializer):
    to = AnyField(help_text="A sequence number of the space, or the name of a snapshot.")
    why = serializers.CharField(max_length=2000, help_text=_WHY)

    def validate_to(self, value: Any) -> int | str:
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            raise serializers.ValidationError("Give a sequence number or the name of a snapshot.")
        return value


class ChangeSerializer(serializers.Serializer[Change]):
    """`before` and `after` are revision numbers; null: the key is not there."""

    key = serializers.CharField()
    kind = serializers.ChoiceField([str(kind) for kind in ChangeKind])
    before = serializers.IntegerField(allow_null=True)
    after = serializers.IntegerField(allow_null=True)


class ChangedSerializer(serializers.Serializer[Changed]):
    """`seq` is where the space is now; going back to the one before undoes the change."""

    space = serializers.CharField()
    seq = serializers.IntegerField()
    to = serializers.IntegerField()
    preview = serializers.BooleanField()
    changes = ChangeSerializer(many=True)


class BranchBody(StrictSerializer):
    name = serializers.CharField(max_length=63)
    at = MomentField(allow_null=True, default=None)


class MergeBody(StrictSerializer):
    branch = serializers.CharField(max_length=63)
    why = serializers.CharField(max_length=2000, help_text=_WHY)
    resolutions = serializers.DictField(
        child=AnyField(),
        default=dict,
        help_text='For each key that both changed: "ours", "theirs" or {"content": text}.',
    )

    def validate_resolutions(self, value: dict[str, Any]) -> dict[str, Resolution]:
        return {key: _resolution(key, given) for key, given in value.items()}


class ReadingSerializer(serializers.Serializer[Reading]):
    """One time that a run was shown the entry; rank 0: as a whole."""

    run = IdField(Kind.RUN, source="run_id")
    step = serializers.CharField()
    revision = serializers.IntegerField()
    rank = serializers.IntegerField()
    score = serializers.FloatField()
    at = TimeField()


class ReadingsQuery(PageQuery):
    revision = serializers.IntegerField(min_value=1, max_value=_MAX, required=False)


class EntryDiffView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="diff_entry",
        summary="Compare two revisions of an entry",
        parameters=[DiffQuery],
        responses=DiffSerializer,
    )
    def get(self, request: Request, space: str, key: str) -> Response:
        query = self.query(DiffQuery)
        found = selectors.get_diff(
            scope=self.scope,
            space=space,
            key=key,
            before=query.get("from"),
            after=query.get("to"),
        )
        return self.shaped(DiffSerializer, found)


class EntryReadersView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="list_entry_readers",
        summary="List the runs that were shown an entry",
        parameters=[ReadingsQuery],
        responses=listed(ReadingSerializer),
    )
    def get(self, request: Request, space: str, key: str) -> Response:
        query = self.query(ReadingsQuery)
        return page(
            lambda limit, before: selectors.list_readings(
                scope=self.scope,
                space=space,
                key=key,
                revision=query.get("revision"),
                limit=limit,
                before=None if before is None else min(before.int, 2**62),
            ),
            query=query,
            serializer=ReadingSerializer,
            cursor_of=lambda reading: reading.id,
        )


class SpaceChangesView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="list_space_changes",
        summary="List what changed a space",
        parameters=[PageQuery],
        responses=listed(SpaceChangeSerializer),
    )
    def get(self, request: Request, space: str) -> Response:
        return page(
            lambda limit, before: selectors.list_changes(
                scope=self.scope, space=space, limit=limit, before=cursor_number(before)
            ),
            query=self.query(PageQuery),
            serializer=SpaceChangeSerializer,
            cursor_of=lambda change: change.revision.seq,
        )


class SnapshotsView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="take_snapshot",
        summary="Name the present state of a space",
        request=SnapshotBody,
        responses={201: SnapshotSerializer},
        examples=[OpenApiExample("A snapshot", {"name": "reviewed-may"}, request_only=True)],
    )
    @idempotent
    def post(self, request: Request, space: str) -> Response:
        name = self.checked(SnapshotBody)["name"]
        taken = versions.take_snapshot(scope=self.scope, space=space, name=name)
        return self.shaped(SnapshotSerializer, taken, status=201)

    @extend_schema(
        operation_id="list_snapshots",
        summary="List the snapshots of a space",
        parameters=[PageQuery],
        responses=listed(SnapshotSerializer),
    )
    def get(self, request: Request, space: str) -> Response:
        return page(
            lambda limit, before: selectors.list_snapshots(
                scope=self.scope, space=space, limit=limit, before=cursor_number(before)
            ),
            query=self.query(PageQuery),
            serializer=SnapshotSerializer,
            cursor_of=lambda snapshot: snapshot.id,
        )


class SnapshotDetailView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="delete_snapshot", summary="Forget a snapshot's name", responses={204: None}
    )
    def delete(self, request: Request, space: str, name: str) -> Response:
        versions.delete_snapshot(scope=self.scope, space=space, name=name)
        return Response(status=204)


class RollbackView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="roll_back_space",
        summary="Make a space say what it said before",
        parameters=[RollbackQuery],
        request=RollbackBody,
        responses=ChangedSerializer,
        examples=[
            OpenApiExample("Undo", {"to": 41, "why": "The import was wrong."}, request_only=True)
        ],
    )
    @idempotent
    def post(self, request: Request, space: str) -> Response:
        body = self.checked(RollbackBody)
        if self.query(RollbackQuery)["preview"]:
            changed = versions.preview_rollback(scope=self.scope, space=space, to=body["to"])
        else:
            changed = versions.roll_back(
                scope=self.scope, space=space, to=body["to"], why=body["why"]
            )
        return self.shaped(ChangedSerializer, changed)


class BranchesView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="create_branch",
        summary="Begin a branch of a space",
        request=BranchBody,
        responses={201: SpaceSerializer},
        examples=[OpenApiExample("A branch", {"name": "draft"}, request_only=True)],
    )
    @idempotent
    def post(self, request: Request, space: str) -> Response:
        body = self.checked(BranchBody)
        branch = versions.create_branch(
            scope=self.scope, space=space, name=body["name"], at=body["at"]
        )
        return self.shaped(SpaceSerializer, branch, status=201)

    @extend_schema(
        operation_id="list_branches",
        summary="List the branches of a space",
        parameters=[PageQuery],
        responses=listed(SpaceSerializer),
    )
    def get(self, request: Request, space: str) -> Response:
        return page(
            lambda limit, before: selectors.list_branches(
                scope=self.scope, space=space, limit=limit, before=before
            ),
            query=self.query(PageQuery),
            serializer=SpaceSerializer,
        )


class MergeQuery(StrictSerializer):
    branch = serializers.CharField(max_length=63)


class MergeView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="preview_merge",
        summary="See what merging a branch would change",
        parameters=[MergeQuery],
        responses=ChangedSerializer,
    )
    def get(self, request: Request, space: str) -> Response:
        branch = self.query(MergeQuery)["branch"]
        return self.shaped(
            ChangedSerializer,
            merging.preview_merge(scope=self.scope, space=space, branch=branch),
        )

    @extend_schema(
        operation_id="merge_branch",
        summary="Take a branch's changes into its space and close the branch",
        request=MergeBody,
        responses=ChangedSerializer,
        examples=[
            OpenApiExample(
                "With a conflict answered",
                {"branch": "draft", "why": "Reviewed.", "resolutions": {"refunds": "theirs"}},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, space: str) -> Response:
        answers = self.checked(MergeBody)["resolutions"]
        # Embedded first: what commits together with the key waits for no model.
        merging.embed_resolutions(scope=self.scope, space=space, resolutions=answers)
        return self._merge(request, space)

    @idempotent
    def _merge(self, request: Request, space: str) -> Response:
        body = self.checked(MergeBody)
        changed = merging.merge_branch(
            scope=self.scope,
            space=space,
            branch=body["branch"],
            why=body["why"],
            resolutions=body["resolutions"],
        )
        return self.shaped(ChangedSerializer, changed)


def _resolution(key: str, given: Any) -> Resolution:
    if isinstance(given, str) and given in list(Side):
        return Resolution(side=Side(given))
    if isinstance(given, dict) and set(given) == {"content"} and isinstance(given["content"], str):
        return Resolution(content=given["content"])
    raise serializers.ValidationError(
        {key: ['Answer "ours", "theirs" or {"content": "the text that stands"}.']}
    )
