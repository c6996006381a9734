"""Archives are taken apart without trusting them."""

import io
import tarfile
import zipfile
from typing import Any

import pytest
from django.test import override_settings

from apps.context.types import UnreadableFile
from apps.context.unpacking import is_archive, members


def zipped(files: dict[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return file


def tarred(files: dict[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    file.seek(0)
    return file


PACKERS: Any = pytest.mark.parametrize(
    ("name", "pack"), [("docs.zip", zipped), ("docs.tar.gz", tarred)]
)


@PACKERS
def test_only_plain_files_inside_are_taken(name: str, pack: Any) -> None:
    assert is_archive(name)
    found = members(
        pack(
            {
                "a/b.md": b"b",
                "./c.txt": b"c",
                "../../etc/cron.d/x": b"out",
                "/abs.txt": b"absolute",
                "a/../../out.txt": b"out",
                ".git/config": b"secret",
                "node_modules/x.js": b"x",
                "__MACOSX/a": b"x",
            }
        ),
        name=name,
    )
    assert {member.key: member.data for member in found} == {
        "docs/a/b.md": b"b",
        "docs/c.txt": b"c",
        "docs/abs.txt": b"absolute",
    }


@PACKERS
@override_settings(MAX_FILE_BYTES=1000, MAX_ARCHIVE_BYTES=2500)
def test_a_bomb_does_not_go_off(name: str, pack: Any) -> None:
    found = list(members(pack({"big.txt": b"0" * 1001, "small.txt": b"1"}), name=name))
    assert [(member.key, bool(member.problem)) for member in found] == [
        ("docs/big.txt", True),
        ("docs/small.txt", False),
    ]
    with pytest.raises(UnreadableFile, match="OCTAVO_MAX_ARCHIVE_BYTES"):
        list(members(pack({f"{n}.txt": b"0" * 900 for n in range(3)}), name=name))


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tgz", "x.tar"])
@pytest.mark.parametrize("data", [b"", b"noise" * 300, b"PK\x03\x04", b"\x1f\x8b\x08\x00"])
def test_what_is_no_archive_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(UnreadableFile, match="cannot be unpacked"):
        list(members(io.BytesIO(data), name=name))


def test_a_truncated_archive_is_refused() -> None:
    whole = tarred({"a.txt": bytes(range(256)) * 40}).getvalue()
    with pytest.raises(UnreadableFile):
        list(members(io.BytesIO(whole[:-60]), name="x.tar.gz"))
