"""Takes files into a space. One file's failure is that file's report and stops nothing else."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import IO
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections, transaction
from django.db.models.functions import Now

from apps.context import (
    access,
    filing,
    parser_process,
    parsing,
    receiving,
    unpacking,
    views,
    walking,
)
from apps.context.models import IngestFile, IngestJob
from apps.context.types import FileReport, FileStatus, IngestJobView, UnreadableFile
from octavo.kernel import audit, ids, jobs
from octavo.kernel.errors import Unavailable
from octavo.kernel.scope import Principal, PrincipalKind, Scope

log = logging.getLogger(__name__)

JOB = "context.ingest"
_ATTEMPTS = 30
_PAUSE = timedelta(seconds=30)
_MOST_LOST = 3
_BEAT_SECONDS = 15.0
_WORKER_LOST = (
    "The worker was lost while it read this file or one next to it. Look for the cause in the "
    "worker's log, then upload the file by itself."
)

# A hint that only waits in a long queue is repeated ever more rarely.
_REVIVE = """
UPDATE ingest_job SET
  lost = lost + (status = 'running')::int, status = 'queued', touched_at = now()
WHERE id IN (
  SELECT id FROM ingest_job
  WHERE finished_at IS NULL AND touched_at < now() - CASE status
    WHEN 'running' THEN interval '60 s'
    ELSE greatest(interval '60 s', touched_at - created_at) END
  ORDER BY touched_at LIMIT 500 FOR UPDATE SKIP LOCKED)
RETURNING id
"""


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
    files = (file for found in walking.find_files(paths) for file in _read(found))
    for _, report in filing.file_all(scope=scope, space=place, files=files):
        reports.append(report)
        on_file(report)
    return reports


def read_upload(*, scope: Scope, space: str, name: str, file: IO[bytes]) -> parsing.Parsed:
    """What a file that is to become an entry of `space` says. Raises `TooLarge` for one over the
    cap, `UnreadableFile` for one without text; before it is read, whatever keeps the caller from
    writing there.
    """
    access.writable_space(scope=scope, name=space)
    receiving.check([(name, file)])
    data = file.read()
    read = parsing.parse if parsing.is_plain(name=name, data=data) else parser_process.parse
    parsed = read(name=name, data=data)
    if not parsed.text.strip():
        raise UnreadableFile(f"{name} is empty: there is no text in it to keep.")
    return parsed


def start_job(*, scope: Scope, space: str, uploads: Sequence[receiving.Upload]) -> IngestJobView:
    """Keep the files and promise to ingest them; of an archive, the files in it. Raises `TooLarge`
    for one over the cap.
    """
    place = access.writable_space(scope=scope, name=space)
    names = receiving.check(uploads)
    with transaction.atomic():
        job = IngestJob.objects.create(
            space=place,
            team_id=scope.team_id,
            principal_kind=scope.principal.kind,
            principal_id=scope.principal.id,
            principal_name=scope.principal.name,
        )
        receiving.keep(job, names, uploads)
        jobs.enqueue(JOB, job_id=str(job.id))
        audit.record(
            scope=scope,
            action="context.ingest",
            target=space,
            payload={"job": ids.encode(ids.Kind.JOB, job.id), "files": len(uploads)},
        )
    return views.job_view(job)


def run_job(*, job_id: str) -> None:
    """Ingest what the job still holds, unless a worker is at it. Idempotent: a file with a report
    is not read again.

    Runs with the rights that the uploader has now. While no embedding model answers, the job comes
    back later; after a quarter of an hour its files fail with the reason, as they do after three
    workers were lost over them.
    """
    job = _claim(UUID(job_id))
    if job is None:
        return
    try:
        if job.lost >= _MOST_LOST:
            _fail_rest(job, _WORKER_LOST)
        with _kept(job):
            receiving.unpack_archives(job)
            for incoming, report in filing.file_all(
                scope=_scope_of(job), space=job.space, files=_uploads(job)
            ):
                _close_file(job, incoming.key, report)
    except Unavailable as error:
        if job.attempts < _ATTEMPTS:
            _try_again(job, error)
            return
        _fail_rest(job, str(error))
    _close_job(job)


@transaction.atomic
def revive_jobs() -> int:
    """Send another hint for jobs that no worker has shown to hold for a minute; how many.

    Safe in any number of processes at once.
    """
    with connection.cursor() as cursor:
        cursor.execute(_REVIVE)
        revived = [row[0] for row in cursor.fetchall()]
    for job_id in revived:
        jobs.enqueue(JOB, job_id=str(job_id))
    return len(revived)


def _claim(job_id: UUID) -> IngestJob | None:
    """None: it has ended, or a worker holds it."""
    waiting = IngestJob.objects.filter(id=job_id, status="queued")
    if not waiting.update(status="running", touched_at=Now()):
        return None
    return IngestJob.objects.select_related("space").get(id=job_id)


@contextmanager
def _kept(job: IngestJob) -> Iterator[None]:
    """While the block runs, show that the job is held: one file may take long."""
    stop = threading.Event()

    def show() -> None:
        while not stop.wait(_BEAT_SECONDS):
            try:
                IngestJob.objects.filter(id=job.id, status="running").update(touched_at=Now())
            except (DatabaseError, InterfaceError) as error:
                log.warning("Ingestion %s cannot be shown to go on: %s", job.id, error)
            finally:
                connections.close_all()

    thread = threading.Thread(target=show, name="octavo-ingest-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _uploads(job: IngestJob) -> Iterator[filing.Incoming]:
    """What has no report yet, read from the database one file at a time."""
    waiting = job.files.filter(status="").order_by("id")
    for file_id in list(waiting.values_list("id", flat=True)):
        file = IngestFile.objects.get(id=file_id)
        data = bytes(file.payload or b"")
        yield filing.Incoming(path=PurePosixPath(file.name), key=file.name, data=data)


def _close_file(job: IngestJob, name: str, report: FileReport) -> None:
    """The first report stands, so a job that is delivered twice tells the truth."""
    job.files.filter(name=name, status="").update(
        status=report.status,
        detail=report.detail,
        chunks=report.chunks,
        embedded=report.embedded,
        payload=None,
    )
    IngestJob.objects.filter(id=job.id).exclude(lost=0).update(lost=0)


def _fail_rest(job: IngestJob, reason: str) -> None:
    for name in list(job.files.filter(status="").values_list("name", flat=True)):
        _close_file(job, name, filing.failed(PurePosixPath(name), reason))


def _try_again(job: IngestJob, error: Unavailable) -> None:
    log.warning("Ingestion %s waits for an embedding model: %s", job.id, error)
    with transaction.atomic():
        IngestJob.objects.filter(id=job.id).update(
            status="queued", attempts=job.attempts + 1, touched_at=Now()
        )
        jobs.enqueue(JOB, delay=_PAUSE, job_id=str(job.id))


def _close_job(job: IngestJob) -> None:
    idle = (FileStatus.FAILED, FileStatus.UNPACKED)
    succeeded = job.files.exclude(status__in=idle).exists()
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


def _read(found: walking.Found) -> Iterator[filing.Incoming]:
    """The file, or of an archive the files in it."""
    path, key = found.path, found.key
    if found.problem:
        yield filing.Incoming(path=path, key=key, problem=f"{path} {found.problem}.")
        return
    try:
        size = path.stat().st_size
        if unpacking.is_archive(key):
            yield from _unpacked(path, key)
        elif size > settings.MAX_FILE_BYTES:
            problem = receiving.over_cap(str(path), size)
            yield filing.Incoming(path=path, key=key, problem=problem)
        else:
            yield filing.Incoming(path=path, key=key, data=path.read_bytes())
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror}. Check its permissions."
        yield filing.Incoming(path=path, key=key, problem=reason)


def _unpacked(path: Path, key: str) -> Iterator[filing.Incoming]:
    try:
        with path.open("rb") as file:
            for member in unpacking.members(file, name=key):
                yield filing.Incoming(
                    path=PurePosixPath(member.key),
                    key=member.key,
                    data=member.data,
                    problem=member.problem,
                )
    except UnreadableFile as error:
        yield filing.Incoming(path=path, key=key, problem=str(error))
