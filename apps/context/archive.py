"""A space as plain files in a tar: readable without Octavo, complete enough to be read back, and
the same bytes for the same history.

    space.json      format, kind, sequence number, snapshots
    entries/<key>   the present text of each entry
    history.jsonl   every revision in order, with the hashes of its passages
    texts.jsonl     every passage once, by hash
"""

import gzip
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote

import orjson

from octavo.kernel.errors import InvalidInput

FORMAT = "octavo-space/1"
_SAFE = "/ ~!$&'()+,;=@[]{}^#%"
MAX_MEMBER = 2**31  # bytes that a file of an archive may have when unpacked


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """`revisions` and `texts` are the lines of the two lists, decoded."""

    space: dict[str, Any]
    revisions: list[dict[str, Any]]
    texts: dict[str, dict[str, str]]


class Packer:
    """Writes members into a gzipped tar without times, names or modes of this machine."""

    def __init__(self, file: IO[bytes]) -> None:
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
        self._tar = tarfile.TarFile(fileobj=self._gzip, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))

    def add_json(self, name: str, value: Any) -> None:
        self.add(name, line_of(value))

    def close(self) -> None:
        self._tar.close()
        self._gzip.close()


def line_of(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def member_of(key: str) -> str:
    """A path below `entries/` that leads nowhere else, whatever the key is."""
    parts = [quote(part, safe=_SAFE.replace("/", "")) for part in key.split("/")]
    safe = ["%2E" * len(part) if part in {"", ".", ".."} else part for part in parts]
    return "entries/" + "/".join(part or "%00" for part in safe)


def read(file: IO[bytes]) -> Archive:
    """Raises `InvalidInput` for what is no archive of a space."""
    try:
        found = dict(_members(file))
        space = orjson.loads(found["space.json"])
        revisions = [orjson.loads(line) for line in found["history.jsonl"].splitlines()]
        texts = [orjson.loads(line) for line in found["texts.jsonl"].splitlines()]
    except (KeyError, orjson.JSONDecodeError, tarfile.TarError, EOFError, OSError) as error:
        raise InvalidInput(
            f"The file is no archive of a space ({error}). Make one with `manage.py context "
            "export`."
        ) from None
    if space.get("format") != FORMAT:
        raise InvalidInput(
            f"The archive has the format {space.get('format')!r}; this Octavo reads {FORMAT!r}. "
            "Upgrade Octavo, or export the space again."
        )
    return Archive(space=space, revisions=revisions, texts={text["hash"]: text for text in texts})


def _members(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """The three lists; the entries' texts are in them already."""
    with tarfile.open(fileobj=file, mode="r|gz") as tar:
        for member in tar:
            if member.name.startswith("entries/") or not member.isreg():
                continue
            if member.size > MAX_MEMBER:
                raise InvalidInput(f"{member.name} has {member.size:,} bytes: split the space.")
            content = tar.extractfile(member)
            yield member.name, content.read() if content else b""
