"""What is in the context store, now or as of an earlier moment; only what the caller may read."""

from collections.abc import Sequence
from uuid import UUID

from apps.context import access, doubts, history, lineage, memory, reads, views
from apps.context.models import IngestJob, Revision
from apps.context.types import (
    Diff,
    EntryKind,
    EntrySummary,
    EntryView,
    Flag,
    IngestJobView,
    MemoryBlock,
    Moment,
    Operation,
    Reading,
    RevisionView,
    SnapshotView,
    SpaceChange,
    SpaceView,
    Written,
)
from octavo.kernel import ids
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope


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
    as_of: Moment | None = None,
) -> list[EntrySummary]:
    """Entries of the present, or of `as_of`, whose key begins with `prefix`; the newest entry
    first.
    """
    place = access.readable_space(scope=scope, name=space)
    layers = lineage.layers_of(place, lineage.seq_at(place, as_of))
    found = lineage.list_present(layers, limit=limit, before=before, prefix=prefix)
    return [views.entry_summary(place.name, head) for head in found]


def episode_key(*, run_id: UUID) -> str:
    """The key of the entry that a run leaves behind in the space where it is remembered."""
    return memory.episode_key(ids.encode(ids.Kind.RUN, run_id))


def get_entry(
    *,
    scope: Scope,
    space: str,
    key: str,
    as_of: Moment | None = None,
    revision: int | None = None,
) -> EntryView:
    """The entry now, or as it stood after change `as_of` of the space or at that time, or one of
    its revisions by number. Raises `NotFound` where it did not exist then.
    """
    place = access.readable_space(scope=scope, name=space)
    found = lineage.revision_at(lineage.layers_of(place, lineage.seq_at(place, as_of)), key)
    if revision is not None:
        found = history.find(place, key, revision)
    if found is None or found.operation == Operation.DELETE:
        raise _no_entry(space, key, as_of=as_of, revision=revision)
    return EntryView(
        id=found.entry_id,
        space=place.name,
        key=key,
        kind=EntryKind(found.kind),
        revision=views.revision_view(found),
        metadata=found.metadata,
        trust=found.trust,
        text=history.text_of(found, organisation_id=scope.organisation_id),
    )


def _no_entry(space: str, key: str, *, as_of: Moment | None, revision: int | None) -> NotFound:
    moment = "" if as_of is None else f" as of {as_of}"
    if revision is not None:
        moment = f" at revision {revision}"
    return NotFound(
        f"There is no entry {key!r} in the space {space!r}{moment}. List the space's entries, or "
        "its revisions for what was deleted."
    )


def get_core_memory(
    *, scope: Scope, spaces: Sequence[str], agent: str = ""
) -> tuple[MemoryBlock, ...]:
    """What is always in the prompt of whoever reads these spaces, and of `agent` by name: space by
    space in their order, shared blocks first. Raises `NotFound` for a space that is not for the
    caller.
    """
    return tuple(
        block
        for place in access.readable_spaces(scope=scope, names=spaces)
        for _, block in memory.blocks_of(place, agent=agent, organisation_id=scope.organisation_id)
    )


def list_flags(*, scope: Scope, space: str, limit: int = 200) -> list[Flag]:
    """What is doubtful in a space, by key: what no longer holds, rests on what was changed since,
    or is contradicted. Of sources, only those that the caller may read are told.
    """
    place = access.readable_space(scope=scope, name=space)
    readable = access.all_readable(scope=scope)
    return doubts.flags_of(place, readable=readable, limit=limit)


def list_revisions(
    *, scope: Scope, space: str, key: str, limit: int = 50, before: int | None = None
) -> list[RevisionView]:
    """The newest first, deletions included. `before` is the number of the last revision of the page
    before. Raises `NotFound` for a key that never was.
    """
    place = access.readable_space(scope=scope, name=space)
    revisions = history.list_of(place, key, limit=limit, before=before)
    found = [views.revision_view(revision) for revision in revisions]
    if not found and before is None:
        raise NotFound(
            f"There never was an entry {key!r} in the space {space!r}. List the space's entries."
        )
    return found


def list_changes(
    *, scope: Scope, space: str, limit: int = 50, before: int | None = None
) -> list[SpaceChange]:
    """What changed the space itself, the newest first; a branch begins with none. `before` is the
    sequence number of the last change of the page before.
    """
    place = access.readable_space(scope=scope, name=space)
    return history.changes_of(place, limit=limit, before=before)


def find_written(*, revision_id: UUID) -> Written | None:
    """What an emitted `context.entry_written` speaks of, whoever may read it; None once erased."""
    row = Revision.objects.select_related("space", "entry").filter(id=revision_id).first()
    if row is None:
        return None
    return Written(
        project_id=row.space.project_id,
        space=row.space.name,
        key=row.entry.key,
        trust=row.trust,
        revision=views.revision_view(row),
    )


def get_job(*, scope: Scope, job_id: UUID) -> IngestJobView:
    """Raises `NotFound` for a job on a space that the caller may not read."""
    job = IngestJob.objects.filter(id=job_id, space__project_id=scope.project_id)
    found = job.select_related("space").first()
    if found is None:
        raise NotFound("There is no such ingestion job in this project. Upload the files again.")
    access.readable_space(scope=scope, name=found.space.name)
    return views.job_view(found)


def get_diff(*, scope: Scope, space: str, key: str, before: int | None, after: int | None) -> Diff:
    """What changed in `key` between two revisions by number; without them, between the newest and
    the one before it. Revision 0 is the empty text. Raises `NotFound` for one that never was.
    """
    place = access.readable_space(scope=scope, name=space)
    return history.diff(
        place, key, before=before, after=after, organisation_id=scope.organisation_id
    )


def list_snapshots(
    *, scope: Scope, space: str, limit: int = 50, before: int | None = None
) -> list[SnapshotView]:
    """The newest first."""
    place = access.readable_space(scope=scope, name=space)
    found = place.snapshots.order_by("-id")
    if before is not None:
        found = found.filter(id__lt=before)
    return [views.snapshot_view(snapshot) for snapshot in found[:limit]]


def list_branches(
    *, scope: Scope, space: str, limit: int = 50, before: UUID | None = None
) -> list[SpaceView]:
    """Those that the caller may read, the newest first."""
    place = access.readable_space(scope=scope, name=space)
    found = [
        branch
        for branch in access.all_readable(scope=scope)
        if branch.parent_id == place.id and (before is None or branch.id < before)
    ]
    return [views.space_view(branch) for branch in found[:limit]]


def list_readings(
    *,
    scope: Scope,
    space: str,
    key: str,
    revision: int | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[Reading]:
    """Which runs were shown the entry, or one revision of it; the newest first. Raises `NotFound`
    for a key that never was.
    """
    place = access.readable_space(scope=scope, name=space)
    if not history.list_of(place, key, limit=1):
        raise _no_entry(space, key, as_of=None, revision=None)
    return reads.list_of(place, key, revision=revision, limit=limit, before=before)
