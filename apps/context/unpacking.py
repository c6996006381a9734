"""Takes archives apart without trusting them: no path leads out, nothing but plain files is taken,
and what unpacks to more than the caps is left out with a reason.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from django.conf import settings

from apps.context import walking
from apps.context.types import UnreadableFile

_ENDINGS = (".zip", ".tar.gz", ".tgz", ".tar")
_ZIPPED = ".zip"
MOST_MEMBERS = 10_000
_SYSTEM = "__MACOSX"
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    OSError,
    zlib.error,
    NotImplementedError,
    RuntimeError,  # what zipfile raises for an encrypted member
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """`data` of the file that is to be `key`, or the `problem` that kept it away."""

    key: str
    data: bytes = b""
    problem: str = ""


def is_archive(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


def members(file: IO[bytes], *, name: str) -> Iterator[Member]:
    """The files of an archive, one at a time, below its own name without the ending.

    Hidden, version-control and dependency folders stay out, as they do of a folder. Raises
    `UnreadableFile` for what is no archive, or holds too much.
    """
    root = name[: -len(next(end for end in _ENDINGS if name.lower().endswith(end)))] or "archive"
    room = settings.MAX_ARCHIVE_BYTES
    try:
        for count, (inner, size, stream) in enumerate(_found(file, name), start=1):
            if count > MOST_MEMBERS:
                raise UnreadableFile(
                    f"{name} holds more than {MOST_MEMBERS:,} files. Split it into several."
                )
            key = f"{root}/{inner}"
            if size > settings.MAX_FILE_BYTES:
                yield Member(key=key, problem=_over(key, settings.MAX_FILE_BYTES, "FILE"))
                continue
            data = stream.read(min(settings.MAX_FILE_BYTES, room) + 1)
            room -= len(data)
            if room < 0:
                raise UnreadableFile(_over(name, settings.MAX_ARCHIVE_BYTES, "ARCHIVE"))
            if len(data) > settings.MAX_FILE_BYTES:
                yield Member(key=key, problem=_over(key, settings.MAX_FILE_BYTES, "FILE"))
                continue
            yield Member(key=key, data=data)
    except _BROKEN as error:
        raise UnreadableFile(
            f"{name} cannot be unpacked ({error}). Pack it again without a password, and retry."
        ) from None


def _found(file: IO[bytes], name: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Path, stated size and content of each plain file that is wanted."""
    found = _zipped(file) if name.lower().endswith(_ZIPPED) else _tarred(file, name)
    for path, size, stream in found:
        parts = [part for part in path.replace("\\", "/").split("/") if part not in {"", "."}]
        if not parts or ".." in parts or any(_is_unwanted(part) for part in parts):
            continue
        yield PurePosixPath(*parts).as_posix(), size, stream


def _is_unwanted(part: str) -> bool:
    return part.startswith(".") or part == _SYSTEM or part in walking.SKIPPED_FOLDERS


def _zipped(file: IO[bytes]) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            if info.is_dir() or is_link:
                continue
            with archive.open(info) as stream:
                yield info.filename, info.file_size, stream


def _tarred(file: IO[bytes], name: str) -> Iterator[tuple[str, int, Any]]:
    """What is passed over must be decompressed too, so all of it counts."""
    room = settings.MAX_ARCHIVE_BYTES
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for info in archive:
            room -= info.size
            if room < 0:
                raise UnreadableFile(_over(name, settings.MAX_ARCHIVE_BYTES, "ARCHIVE"))
            stream = archive.extractfile(info) if info.isreg() else None
            if stream is not None:
                yield info.name, info.size, stream


def _over(name: str, cap: int, what: str) -> str:
    return f"{name} unpacks to more than {cap:,} bytes. Split it, or raise OCTAVO_MAX_{what}_BYTES."
