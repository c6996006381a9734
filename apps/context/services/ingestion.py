"""Takes files into a space. One file's failure is that file's report and stops nothing else."""

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path, PurePath, PurePosixPath
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.context import access, parsing, revising, views, walking
from apps.context.models import Entry, IngestFile, IngestJob, Revision, Space
from apps.context.services import writing
from apps.context.types import FileReport, FileStatus, IngestJobView
from octavo.kernel import audit, ids, jobs
from octavo.kernel.errors import InvalidInput, OctavoError, TooLarge, Unavailable
from octavo.kernel.scope import Principal, PrincipalKind, Scope

log = logging.getLogger(__name__)

JOB = "context.ingest"
MAX_UPLOADS = 1000
_ENDED = frozenset({"done", "failed"})
_ATTEMPTS = 30
_PAUSE = timedelta(seconds=30)


def ingest_paths(
    *,
    scope: Scope,
    space: str,
    paths: Sequence[Path],
    on_file: Callable[[FileReport], None] = lambda _report: None,
) -> list[FileReport]:
    """Read every file below `paths` into `space`, calling `on_file` after each.

    Keys are paths below the folder that was named, so the same folder named again updates the same
    entries. Raises only where nothing can go on: no such space, no right to write, no model.
    """
    place = access.writable_space(scope=scope, name=space)
    reports = []
    for found in walking.find_files(paths):
        report = _ingest_found(scope, place, found)
        reports.append(report)
        on_file(report)
    return reports


def start_job(*, scope: Scope, space: str, uploads: Sequence[tuple[str, bytes]]) -> IngestJobView:
    """Keep the uploaded files and promise to ingest them. Raises `TooLarge` for a file over the cap."""
    place = access.writable_space(scope=scope, name=space)
    if not 1 <= len(uploads) <= MAX_UPLOADS:
        raise InvalidInput(
            f"{len(uploads)} files were sent: send 1 to {MAX_UPLOADS} at a time.",
            errors=[{"path": "/files", "detail": f"1 to {MAX_UPLOADS} files"}],
        )
    for name, data in uploads:
        if len(data) > settings.MAX_FILE_BYTES:
            raise TooLarge(_over_cap(name, len(data)))
    with transaction.atomic():
        job = IngestJob.objects.create(
            space=place,
            team_id=scope.team_id,
            principal_kind=scope.principal.kind,
            principal_id=scope.principal.id,
            principal_name=scope.principal.name,
        )
        IngestFile.objects.bulk_create(
            IngestFile(job=job, name=_key_of_upload(name), payload=data) for name, data in uploads
        )
        jobs.enqueue(JOB, job_id=str(job.id))
        audit.record(
            scope=scope,
            action="context.ingest",
            target=space,
            payload={"job": ids.encode(ids.Kind.JOB, job.id), "files": len(uploads)},
        )
    return views.job_view(job)


def run_job(*, job_id: str) -> None:
    """Ingest what the job still holds. Idempotent: a file with a report is not read again.

    Runs with the rights that the uploader has now. While no embedding model answers, the job comes
    back later; after a quarter of an hour its files fail with the reason.
    """
    job = IngestJob.objects.select_related("space").filter(id=UUID(job_id)).first()
    if job is None or job.status in _ENDED:
        return
    IngestJob.objects.filter(id=job.id).update(status="running")
    try:
        for file in job.files.filter(status="").order_by("id").iterator(chunk_size=1):
            data = bytes(file.payload or b"")
            _close_file(file.id, _ingest_bytes(_scope_of(job), job.space, file.name, data))
    except Unavailable as error:
        if job.attempts < _ATTEMPTS:
            _try_again(job, error)
            return
        for file in job.files.filter(status="").defer("payload"):
            _close_file(file.id, _failed(PurePosixPath(file.name), str(error)))
    _close_job(job)


def _close_file(file_id: int, report: FileReport) -> None:
    """The first report stands, so a job that is delivered twice tells the truth."""
    IngestFile.objects.filter(id=file_id, status="").update(
        status=report.status,
        detail=report.detail,
        chunks=report.chunks,
        embedded=report.embedded,
        payload=None,
    )


def _try_again(job: IngestJob, error: Unavailable) -> None:
    log.warning("Ingestion %s waits for an embedding model: %s", job.id, error)
    with transaction.atomic():
        IngestJob.objects.filter(id=job.id).update(status="queued", attempts=job.attempts + 1)
        jobs.enqueue(JOB, delay=_PAUSE, job_id=str(job.id))


def _close_job(job: IngestJob) -> None:
    succeeded = job.files.exclude(status=FileStatus.FAILED).exists()
    IngestJob.objects.filter(id=job.id).update(
        status="done" if succeeded else "failed", finished_at=Now()
    )


def _scope_of(job: IngestJob) -> Scope:
    principal = Principal(
        kind=PrincipalKind(job.principal_kind), id=job.principal_id, name=job.principal_name
    )
    return Scope(
        organisation_id=job.space.organisation_id,
        team_id=job.team_id,
        project_id=job.space.project_id,
        principal=principal,
    )


def _ingest_found(scope: Scope, space: Space, found: walking.Found) -> FileReport:
    if found.problem:
        return _failed(found.path, f"{found.path} {found.problem}.")
    try:
        size = found.path.stat().st_size
        if size > settings.MAX_FILE_BYTES:
            return _failed(found.path, _over_cap(str(found.path), size))
        data = found.path.read_bytes()
    except OSError as error:
        return _failed(
            found.path, f"{found.path} cannot be read: {error.strerror}. Check its permissions."
        )
    report = _ingest_bytes(scope, space, found.key, data)
    return FileReport(
        path=found.path,
        status=report.status,
        detail=report.detail,
        chunks=report.chunks,
        embedded=report.embedded,
    )


def _ingest_bytes(scope: Scope, space: Space, key: str, data: bytes) -> FileReport:
    path = PurePosixPath(key)
    source = parsing.hash_of(data)
    head = _head(space, key)
    if head is not None and head.source_hash and bytes(head.source_hash) == source:
        return FileReport(path=path, status=FileStatus.UNCHANGED, chunks=len(head.chunks))
    try:
        parsed = parsing.parse(name=key, data=data)
        if not parsed.text.strip():
            return FileReport(path=path, status=FileStatus.SKIPPED, detail="empty")
        result = writing.write_entry(
            scope=scope,
            space=space.name,
            key=key,
            content=parsed.text,
            why="ingested from a file",
            metadata=parsed.metadata,
            source_hash=source,
        )
    except Unavailable:
        raise
    except OctavoError as error:
        return _failed(path, str(error))
    status = FileStatus.UNCHANGED
    if result.changed:
        status = FileStatus.ADDED if head is None else FileStatus.UPDATED
    return FileReport(path=path, status=status, chunks=result.chunks, embedded=result.embedded)


def _head(space: Space, key: str) -> Revision | None:
    entry = Entry.objects.filter(space=space, key=key, is_deleted=False).first()
    return revising.head_of(entry) if entry else None


def _key_of_upload(name: str) -> str:
    """A relative path with forward slashes; what would climb out of it is dropped."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    return "/".join(parts) or "unnamed"


def _failed(path: PurePath, detail: str) -> FileReport:
    return FileReport(path=path, status=FileStatus.FAILED, detail=detail)


def _over_cap(name: str, size: int) -> str:
    cap = settings.MAX_FILE_BYTES
    return (
        f"{name} has {size:,} bytes; the cap is {cap:,}. Split it, or raise OCTAVO_MAX_FILE_BYTES."
    )
