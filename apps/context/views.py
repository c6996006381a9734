"""What other layers see of the rows of this one."""

from pathlib import PurePosixPath

from apps.context.models import Entry, IngestFile, IngestJob, Revision, Space
from apps.context.types import (
    EntryKind,
    EntrySummary,
    FileReport,
    FileStatus,
    IngestJobView,
    RevisionView,
    SpaceKind,
    SpaceView,
)


def space_view(space: Space) -> SpaceView:
    return SpaceView(
        id=space.id,
        name=space.name,
        kind=SpaceKind(space.kind),
        seq=space.seq,
        entries=space.entry_count,
        chunks=space.chunk_count,
        created_at=space.created_at,
    )


def revision_view(revision: Revision) -> RevisionView:
    return RevisionView(
        id=revision.id,
        number=revision.number,
        seq=revision.seq,
        author=revision.author_name,
        why=revision.why,
        operation=revision.operation,
        created_at=revision.created_at,
    )


def entry_summary(space: str, entry: Entry, head: Revision) -> EntrySummary:
    return EntrySummary(
        id=entry.id,
        space=space,
        key=entry.key,
        kind=EntryKind(entry.kind),
        revision=revision_view(head),
        metadata=head.metadata,
        trust=head.trust,
        length=head.length,
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
