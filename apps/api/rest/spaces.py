"""Spaces, their entries and revisions, and ingestion of uploaded files."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import IO, Any

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.codec import JSONParser, load_member
from apps.api.rest.fields import IdField, ObjectField, StrictSerializer, TimeField
from apps.api.rest.moments import MomentField
from apps.api.rest.paging import PageQuery, cursor_number, page
from apps.api.rest.schema import listed
from apps.context import selectors
from apps.context.services import ingestion, spaces, transferring, writing
from apps.context.types import (
    EntryKind,
    EntryView,
    FileStatus,
    IngestJobView,
    Operation,
    RevisionView,
    SpaceKind,
    SpaceView,
    WriteResult,
)
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput
from octavo.kernel.ids import Kind

MAX_FILES = 200
_KINDS = [str(kind) for kind in EntryKind]


class SpaceBody(StrictSerializer):
    name = serializers.CharField(max_length=63)
    kind = serializers.ChoiceField([str(k) for k in SpaceKind], default=str(SpaceKind.TEXT))


class SpaceSerializer(serializers.Serializer[SpaceView]):
    """A space; `seq` counts the transactions that changed it."""

    id = IdField(Kind.SPACE)
    name = serializers.CharField()
    kind = serializers.ChoiceField([str(kind) for kind in SpaceKind])
    seq = serializers.IntegerField()
    entries = serializers.IntegerField()
    chunks = serializers.IntegerField()
    parent = serializers.CharField(  # type: ignore[assignment]  # a field of that name
        allow_null=True, help_text="Of a branch: the space it began from."
    )
    base_seq = serializers.IntegerField(
        allow_null=True, help_text="Of a branch: the parent's sequence number where it began."
    )
    merged_at = TimeField(allow_null=True, help_text="Of a branch: since when it is closed.")
    created_at = TimeField()


class EntryBody(StrictSerializer):
    content = serializers.CharField(trim_whitespace=False, allow_blank=True)
    why = serializers.CharField(max_length=2000, help_text="Why this is written; kept for good.")
    kind = serializers.ChoiceField(_KINDS, default=str(EntryKind.DOCUMENT))
    base_rev = serializers.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        allow_null=True,
        default=None,
        help_text="The revision this change was made from; 409 when there is a newer one.",
    )
    metadata = ObjectField(allow_null=True, default=None)
    trust = serializers.ChoiceField(["trusted", "untrusted"], default="trusted")
    sources = serializers.ListField(
        child=ObjectField(),
        max_length=100,
        default=list,
        help_text="What it rests on, such as {space, key, revision} or {url}.",
    )
    valid_from = TimeField(
        allow_null=True, default=None, help_text="Since when it holds in the world."
    )
    valid_to = TimeField(
        allow_null=True, default=None, help_text="Until when it holds in the world."
    )
    expires_at = TimeField(
        allow_null=True, default=None, help_text="When the entry is to be deleted by itself."
    )


class EntryForm(EntryBody):
    """The same as a multipart form: `content`, or a `file` that is read for its text. `metadata`
    and `sources` are JSON.
    """

    content = serializers.CharField(trim_whitespace=False, allow_blank=True, required=False)
    file = serializers.FileField(
        required=False, help_text="Text, Markdown, source code, HTML or PDF; by the extra, office."
    )

    def to_internal_value(self, data: Any) -> Any:
        given = {name: data[name] for name in data}
        for name in {"metadata", "sources"} & given.keys():
            given[name] = load_member(name, str(given[name]))
        return super().to_internal_value(given)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("content" in attrs) == ("file" in attrs):
            raise serializers.ValidationError({"file": ["Send either `file` or `content`."]})
        return attrs


class WrittenSerializer(serializers.Serializer[WriteResult]):
    """What a write did: `embedded` chunks were new, `reused` were known."""

    entry = IdField(Kind.ENTRY, source="entry_id")
    revision = serializers.IntegerField(source="revision.number")
    seq = serializers.IntegerField(source="revision.seq")
    chunks = serializers.IntegerField()
    embedded = serializers.IntegerField()
    reused = serializers.IntegerField()
    changed = serializers.BooleanField()


class RevisionSerializer(serializers.Serializer[RevisionView]):
    """One revision of an entry."""

    id = IdField(Kind.REVISION)
    revision = serializers.IntegerField(source="number")
    seq = serializers.IntegerField()
    operation = serializers.ChoiceField([str(operation) for operation in Operation])
    restores = serializers.IntegerField(
        allow_null=True, help_text="The revision whose text a rollback or merge brought here."
    )
    author = serializers.CharField()
    author_kind = serializers.CharField()
    author_id = serializers.CharField()
    run = IdField(Kind.RUN, source="run_id", allow_null=True)
    step = serializers.CharField()
    why = serializers.CharField()
    sources = serializers.ListField(child=ObjectField())
    valid_from = TimeField(allow_null=True)
    valid_to = TimeField(allow_null=True)
    expires_at = TimeField(allow_null=True)
    created_at = TimeField()


class EntrySummarySerializer(serializers.Serializer[Any]):
    """An entry without its text."""

    id = IdField(Kind.ENTRY)
    space = serializers.CharField()
    key = serializers.CharField()
    kind = serializers.ChoiceField(_KINDS)
    revision = serializers.IntegerField(source="revision.number")
    seq = serializers.IntegerField(source="revision.seq")
    author = serializers.CharField(source="revision.author")
    why = serializers.CharField(source="revision.why")
    revised_at = TimeField(source="revision.created_at")
    sources = serializers.ListField(child=ObjectField(), source="revision.sources")
    valid_from = TimeField(source="revision.valid_from", allow_null=True)
    valid_to = TimeField(source="revision.valid_to", allow_null=True)
    expires_at = TimeField(source="revision.expires_at", allow_null=True)
    metadata = ObjectField()
    trust = serializers.CharField()


class EntrySerializer(EntrySummarySerializer):
    """An entry with the whole text of one revision."""

    content = serializers.CharField(source="text")


class EntriesQuery(PageQuery):
    prefix = serializers.CharField(max_length=1000, required=False, help_text="Keys that begin so.")
    as_of = MomentField(required=False)


class EntryQuery(StrictSerializer):
    as_of = MomentField(required=False)
    revision = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, help_text="One revision by its number."
    )


class DeleteQuery(StrictSerializer):
    erase = serializers.BooleanField(
        default=False, help_text="Remove every revision for good instead of adding a deletion."
    )
    why = serializers.CharField(max_length=2000, default="Deleted through the API.")


class FileReportSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    status = serializers.ChoiceField([str(status) for status in FileStatus])
    detail = serializers.CharField()
    chunks = serializers.IntegerField()
    embedded = serializers.IntegerField()


class JobSerializer(serializers.Serializer[IngestJobView]):
    """An ingestion under way; `reports` says what became of each file."""

    id = IdField(Kind.JOB)
    space = serializers.CharField()
    status = serializers.CharField()
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    reports = FileReportSerializer(many=True)


class StartedJobSerializer(serializers.Serializer[Any]):
    job = JobSerializer(source="*")


class IngestBody(serializers.Serializer[Any]):
    """Multipart form."""

    files = serializers.ListField(child=serializers.FileField())
    path = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="The key of each file, in their order; without it, the file names.",
    )


class SpacesView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="create_space",
        summary="Create a space",
        request=SpaceBody,
        responses={201: SpaceSerializer},
        examples=[OpenApiExample("A space", {"name": "support-docs"}, request_only=True)],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(SpaceBody)
        space = spaces.create_space(
            scope=self.scope, name=body["name"], kind=SpaceKind(body["kind"])
        )
        return self.shaped(SpaceSerializer, space, status=201)

    @extend_schema(
        operation_id="list_spaces",
        summary="List spaces",
        parameters=[PageQuery],
        responses=listed(SpaceSerializer),
    )
    def get(self, request: Request) -> Response:
        return page(
            lambda limit, before: selectors.list_spaces(
                scope=self.scope, limit=limit, before=before
            ),
            query=self.query(PageQuery),
            serializer=SpaceSerializer,
        )


class SpaceDetailView(ResourceView):
    tag = "context"

    @extend_schema(operation_id="get_space", summary="Read a space", responses=SpaceSerializer)
    def get(self, request: Request, space: str) -> Response:
        return self.shaped(SpaceSerializer, selectors.get_space(scope=self.scope, name=space))


class ExportView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="export_space",
        summary="Download a space and its history as plain files",
        responses={(200, "application/gzip"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, space: str) -> FileResponse:
        return FileResponse(
            transferring.open_export(scope=self.scope, space=space),
            as_attachment=True,
            filename=f"{space}.tar.gz",
            content_type="application/gzip",
        )


class EntriesView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="list_entries",
        summary="List the entries of a space",
        parameters=[EntriesQuery],
        responses=listed(EntrySummarySerializer),
    )
    def get(self, request: Request, space: str) -> Response:
        query = self.query(EntriesQuery)
        return page(
            lambda limit, before: selectors.list_entries(
                scope=self.scope,
                space=space,
                limit=limit,
                before=before,
                prefix=query.get("prefix", ""),
                as_of=query.get("as_of"),
            ),
            query=query,
            serializer=EntrySummarySerializer,
        )


class EntryDetailView(ResourceView):
    tag = "context"
    parser_classes = (JSONParser, MultiPartParser)

    @extend_schema(
        operation_id="get_entry",
        summary="Read an entry, now or as it stood",
        parameters=[EntryQuery],
        responses=EntrySerializer,
    )
    def get(self, request: Request, space: str, key: str) -> Response:
        query = self.query(EntryQuery)
        entry: EntryView = selectors.get_entry(
            scope=self.scope,
            space=space,
            key=key,
            as_of=query.get("as_of"),
            revision=query.get("revision"),
        )
        return self.shaped(EntrySerializer, entry)

    @extend_schema(
        operation_id="write_entry",
        summary="Write an entry, from a text or a file",
        request={"application/json": EntryBody, "multipart/form-data": EntryForm},
        responses=WrittenSerializer,
        examples=[
            OpenApiExample(
                "A note",
                {"content": "Refunds over $100 need a second pair of eyes.", "why": "New rule."},
                request_only=True,
            )
        ],
    )
    def put(self, request: Request, space: str, key: str) -> Response:
        is_form = hasattr(request.data, "getlist")
        body = self.checked(EntryForm if is_form else EntryBody)
        if file := body.get("file"):
            body |= self._read(space, key, file, body["metadata"])
        written = writing.write_entry(
            scope=self.scope,
            space=space,
            key=key,
            content=body["content"],
            why=body["why"],
            kind=EntryKind(body["kind"]),
            base_rev=body["base_rev"],
            metadata=body["metadata"],
            trust=body["trust"],
            sources=body["sources"],
            valid_from=body["valid_from"],
            valid_to=body["valid_to"],
            expires_at=body["expires_at"],
        )
        return self.shaped(WrittenSerializer, written)

    def _read(
        self, space: str, key: str, file: IO[bytes], metadata: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """What the file says, and about itself, unless the form says otherwise. A file whose name
        has no ending is read as the key says.
        """
        name = file.name if PurePath(file.name).suffix else key
        parsed = ingestion.read_upload(scope=self.scope, space=space, name=name, file=file)
        merged = {**parsed.metadata, **(metadata or {})}
        return {"content": parsed.text, "metadata": merged or metadata}

    @extend_schema(
        operation_id="delete_entry",
        summary="Delete an entry, or erase all its revisions",
        parameters=[DeleteQuery],
        responses={204: None},
    )
    def delete(self, request: Request, space: str, key: str) -> Response:
        query = self.query(DeleteQuery)
        remove = writing.erase_entry if query["erase"] else writing.delete_entry
        remove(scope=self.scope, space=space, key=key, why=query["why"])
        return Response(status=204)


class EntryHistoryView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="list_entry_revisions",
        summary="List the revisions of an entry, newest first",
        parameters=[PageQuery],
        responses=listed(RevisionSerializer),
    )
    def get(self, request: Request, space: str, key: str) -> Response:
        return page(
            lambda limit, before: selectors.list_revisions(
                scope=self.scope, space=space, key=key, limit=limit, before=cursor_number(before)
            ),
            query=self.query(PageQuery),
            serializer=RevisionSerializer,
            cursor_of=lambda revision: revision.number,
        )


class IngestView(ResourceView):
    tag = "context"
    parser_classes = (MultiPartParser,)

    @extend_schema(
        operation_id="ingest_files",
        summary="Ingest uploaded files in the background",
        request={"multipart/form-data": IngestBody},
        responses={202: StartedJobSerializer},
    )
    @idempotent
    def post(self, request: Request, space: str) -> Response:
        job = ingestion.start_job(scope=self.scope, space=space, uploads=_uploads(request))
        return self.shaped(StartedJobSerializer, job, status=202)


def _uploads(request: Request) -> list[tuple[str, IO[bytes]]]:
    """The files stay where the upload put them until each is stored."""
    files = [file for name in request.FILES for file in request.FILES.getlist(name)]
    paths = request.POST.getlist("path") or [file.name for file in files]
    if not files or len(files) > MAX_FILES or len(paths) != len(files):
        raise InvalidInput(
            f"Send 1 to {MAX_FILES} files as multipart/form-data, and as many `path` fields or "
            f"none.",
            errors=[{"path": "/files", "detail": f"{len(files)} files, {len(paths)} paths"}],
        )
    return list(zip(paths, files, strict=True))


class JobView(ResourceView):
    tag = "context"

    @extend_schema(operation_id="get_job", summary="Follow an ingestion", responses=JobSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        job = selectors.get_job(scope=self.scope, job_id=ids.decode(Kind.JOB, job_id))
        return self.shaped(JobSerializer, job)
