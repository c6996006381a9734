"""Uploaded files as rows of a job, one in memory at a time; archives become a row for each file."""

import io
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import IO

from django.conf import settings
from django.db import transaction

from apps.context import unpacking
from apps.context.models import IngestFile, IngestJob
from apps.context.types import FileStatus, UnreadableFile
from octavo.kernel.errors import InvalidInput, TooLarge

MAX_UPLOADS = 1000
Upload = tuple[str, bytes | IO[bytes]]


def check(uploads: Sequence[Upload]) -> list[str]:
    """The key of each upload. Raises `TooLarge` or `InvalidInput` for what cannot be taken."""
    if not 1 <= len(uploads) <= MAX_UPLOADS:
        raise InvalidInput(
            f"{len(uploads)} files were sent: send 1 to {MAX_UPLOADS} at a time.",
            errors=[{"path": "/files", "detail": f"1 to {MAX_UPLOADS} files"}],
        )
    for name, content in uploads:
        if (size := _size_of(content)) > settings.MAX_FILE_BYTES:
            raise TooLarge(over_cap(name, size))
    names = [_key_of(name) for name, _ in uploads]
    if repeated := next((name for name in names if names.count(name) > 1), ""):
        raise InvalidInput(
            f"Two files are called {repeated!r}, and one would replace the other: rename one.",
            errors=[{"path": "/files", "detail": f"{repeated} more than once"}],
        )
    return names


def keep(job: IngestJob, names: Sequence[str], uploads: Sequence[Upload]) -> None:
    for name, (_, content) in zip(names, uploads, strict=True):
        data = content if isinstance(content, bytes) else content.read()
        IngestFile.objects.create(job=job, name=name, payload=data)


def unpack_archives(job: IngestJob) -> None:
    """Put the files of each archive of the job in its place, each archive in one transaction."""
    waiting = job.files.filter(status="").order_by("id")
    for file_id, name in list(waiting.values_list("id", "name")):
        if unpacking.is_archive(name):
            _unpack(job, IngestFile.objects.get(id=file_id))


def over_cap(name: str, size: int) -> str:
    cap = settings.MAX_FILE_BYTES
    return (
        f"{name} has {size:,} bytes; the cap is {cap:,}. Split it, or raise OCTAVO_MAX_FILE_BYTES."
    )


def _unpack(job: IngestJob, archive: IngestFile) -> None:
    status, detail = FileStatus.UNPACKED, ""
    content = io.BytesIO(archive.payload or b"")
    try:
        with transaction.atomic():
            count = sum(1 for _ in _rows(job, unpacking.members(content, name=archive.name)))
        detail = f"{count} files"
    except UnreadableFile as error:
        status, detail = FileStatus.FAILED, str(error)
    IngestFile.objects.filter(id=archive.id, status="").update(
        status=status, detail=detail, payload=None
    )


def _rows(job: IngestJob, members: Iterator[unpacking.Member]) -> Iterator[IngestFile]:
    taken = set(job.files.values_list("name", flat=True))
    for member in members:
        key, problem = _key_of(member.key), member.problem
        if key in taken:
            problem = f"There is another file {key!r} in this upload. Rename one."
        taken.add(key)
        yield IngestFile.objects.create(
            job=job,
            name=key,
            payload=None if problem else member.data,
            status=FileStatus.FAILED if problem else "",
            detail=problem,
        )


def _key_of(name: str) -> str:
    """A relative path with forward slashes; what would climb out of it is dropped."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    return PurePosixPath(*parts).as_posix() if parts else "unnamed"


def _size_of(content: bytes | IO[bytes]) -> int:
    if isinstance(content, bytes):
        return len(content)
    size = content.seek(0, io.SEEK_END)
    content.seek(0)
    return size
