"""What other layers see of the rows of this one."""

from pathlib import PurePosixPath

from apps.context.models import IngestFile, IngestJob, Revision, Snapshot, Space
from apps.context.types import (
    EntryKind,
    EntrySummary,
    FileReport,
    FileStatus,
    IngestJobView,
    Operation,
    RevisionView,
    SnapshotView,
    SpaceKind,
    SpaceView,
)
from octavo.kernel.scope import Principal, PrincipalKind


def space_view(space: Space) -> SpaceView:
    return SpaceView(
        id=space.id,
        name=space.name,
        kind=SpaceKind(space.kind),
        seq=space.seq,
        entries=space.entry_count,
        chunks=space.chunk_count,
        created_at=space.created_at,
        parent=space.parent.name if space.parent else None,
        base_seq=space.base_seq,
        merged_at=space.merged_at,
    )


def revision_view(revision: Revision) -> RevisionView:
    return RevisionView(
        id=revision.id,
        number=revision.number,
        seq=revision.seq,
        author=revision.author_name,
        author_kind=revision.author_kind,
        author_id=_author_id(revision),
        run_id=revision.run_id,
        step=revision.step,
        why=revision.why,
        operation=Operation(revision.operation),
        restores=revision.restores,
        sources=revision.sources,
        valid_from=revision.valid_from,
        valid_to=revision.valid_to,
        expires_at=revision.expires_at,
        created_at=revision.created_at,
    )


def _author_id(revision: Revision) -> str:
    author = Principal(
        kind=PrincipalKind(revision.author_kind),
        id=revision.author_id,
        name=revision.author_name,
    )
    return author.public_id


def entry_summary(space: str, head: Revision) -> EntrySummary:
    """`head` with its entry."""
    return EntrySummary(
        id=head.entry_id,
        space=space,
        key=head.entry.key,
        kind=EntryKind(head.kind),
        revision=revision_view(head),
        metadata=head.metadata,
        trust=head.trust,
        length=head.length,
    )


def snapshot_view(snapshot: Snapshot) -> SnapshotView:
    return SnapshotView(
        id=snapshot.id,
        name=snapshot.name,
        seq=snapshot.seq,
        author=snapshot.author_name,
        created_at=snapshot.created_at,
    )


def job_view(job: IngestJob) -> IngestJobView:
    files = list(job.files.order_by("id").defer("payload"))
    reports = tuple(_report(file) for file in files if file.status)
    return IngestJobView(
        id=job.id,
        space=job.space.name,
        status=job.status,
        total=len(files),
        done=len(reports),
        reports=reports,
    )


def _report(file: IngestFile) -> FileReport:
    return FileReport(
        path=PurePosixPath(file.name),
        status=FileStatus(file.status),
        detail=file.detail,
        chunks=file.chunks,
        embedded=file.embedded,
    )
