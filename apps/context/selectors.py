"""What is in the context store, now or as of an earlier moment; only what the caller may read."""

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from apps.context import access, views
from apps.context.models import Entry, IngestJob, Revision
from apps.context.types import (
    EntryKind,
    EntrySummary,
    EntryView,
    IngestJobView,
    RevisionView,
    SpaceView,
)
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_TEXT = """
SELECT coalesce(string_agg(blob.text, '' ORDER BY part.place), '')
FROM unnest(%(chunks)s::bigint[]) WITH ORDINALITY AS part (id, place)
JOIN chunk ON chunk.id = part.id
JOIN blob ON blob.organisation_id = %(organisation)s AND blob.hash = chunk.hash
"""


def list_spaces(*, scope: Scope, limit: int = 50, before: UUID | None = None) -> list[SpaceView]:
    """Newest first."""
    spaces = [
        space for space in access.all_readable(scope=scope) if before is None or space.id < before
    ]
    return [views.space_view(space) for space in spaces[:limit]]


def get_space(*, scope: Scope, name: str) -> SpaceView:
    return views.space_view(access.readable_space(scope=scope, name=name))


def list_entries(
    *,
    scope: Scope,
    space: str,
    limit: int = 50,
    before: UUID | None = None,
    prefix: str = "",
) -> list[EntrySummary]:
    """Entries of the present whose key begins with `prefix`, the newest entry first."""
    place = access.readable_space(scope=scope, name=space)
    entries = Entry.objects.filter(space=place, is_deleted=False, key__startswith=prefix)
    if before is not None:
        entries = entries.filter(id__lt=before)
    page = list(entries.order_by("-id")[:limit])
    heads = Revision.objects.filter(entry__in=page, number=F("entry__head_number"))
    by_entry = {head.entry_id: head for head in heads.defer("chunks", "starts")}
    return [views.entry_summary(place.name, entry, by_entry[entry.id]) for entry in page]


def get_entry(*, scope: Scope, space: str, key: str, as_of: int | None = None) -> EntryView:
    """The entry now, or as it stood after transaction `as_of` of the space. Raises `NotFound` where
    it did not exist then.
    """
    place = access.readable_space(scope=scope, name=space)
    revisions = Revision.objects.filter(entry__space=place, entry__key=key)
    if as_of is not None:
        revisions = revisions.filter(seq__lte=as_of)
    revision = revisions.select_related("entry").order_by("-seq").first()
    if revision is None or revision.operation == "delete":
        moment = "" if as_of is None else f" as of {as_of}"
        raise NotFound(
            f"There is no entry {key!r} in the space {space!r}{moment}. List the space's entries, "
            "or its revisions for what was deleted."
        )
    return EntryView(
        id=revision.entry.id,
        space=place.name,
        key=key,
        kind=EntryKind(revision.entry.kind),
        revision=views.revision_view(revision),
        metadata=revision.metadata,
        trust=revision.trust,
        text=_text(scope, revision),
    )


def list_revisions(
    *, scope: Scope, space: str, key: str, limit: int = 50, before: int | None = None
) -> list[RevisionView]:
    """The newest first, deletions included. `before` is the number of the last revision of the page
    before. Raises `NotFound` for a key that never was.
    """
    place = access.readable_space(scope=scope, name=space)
    revisions = Revision.objects.filter(entry__space=place, entry__key=key).order_by("-number")
    if before is not None:
        revisions = revisions.filter(number__lt=before)
    found = [views.revision_view(revision) for revision in revisions[:limit]]
    if not found and before is None:
        raise NotFound(
            f"There never was an entry {key!r} in the space {space!r}. List the space's entries."
        )
    return found


def get_job(*, scope: Scope, job_id: UUID) -> IngestJobView:
    """Raises `NotFound` for a job on a space that the caller may not read."""
    job = IngestJob.objects.filter(id=job_id, space__project_id=scope.project_id)
    found = job.select_related("space").first()
    if found is None:
        raise NotFound("There is no such ingestion job in this project. Upload the files again.")
    access.readable_space(scope=scope, name=found.space.name)
    return views.job_view(found)


def _text(scope: Scope, revision: Revision) -> str:
    values: dict[str, Any] = {"chunks": revision.chunks, "organisation": scope.organisation_id}
    with connection.cursor() as cursor:
        cursor.execute(_TEXT, values)
        (text,) = cursor.fetchone() or ("",)
    return str(text)
