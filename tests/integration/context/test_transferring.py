"""An exported space is plain files, comes back with all its history, and exports the same bytes."""

import io
import random
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.context import selectors
from apps.context.services import searching, transferring, versions
from apps.context.types import SearchMode
from octavo.kernel.errors import Conflict, InvalidInput
from tests.integration.context.replay import Replay, act, misdescribed


def export(scope: Any, space: str) -> bytes:
    file = io.BytesIO()
    transferring.export_space(scope=scope, space=space, file=file)
    return file.getvalue()


def bring(scope: Any, space: str, data: bytes) -> Any:
    return transferring.import_space(scope=scope, space=space, file=io.BytesIO(data))


def test_a_space_goes_out_and_comes_back_byte_by_byte(
    scope: Any, write: Callable[..., Any]
) -> None:
    rng, replay = random.Random(3), Replay()
    for _ in range(15):
        act(rng, scope, "notes", replay)
    write(
        "../odd key/ü.md",
        "# Title\n\nThe walrus 😀.",
        metadata={"n": 1},
        sources=[{"url": "https://example.test"}],
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    versions.take_snapshot(scope=scope, space="notes", name="kept")
    data = export(scope, "notes")
    made = bring(scope, "copy", data)
    original = selectors.get_space(scope=scope, name="notes")
    assert (made.seq, made.entries, made.chunks) == (
        original.seq,
        original.entries,
        original.chunks,
    )
    assert export(scope, "copy") == data
    assert misdescribed() == []
    for seq, said in enumerate(replay.states):
        entries = selectors.list_entries(scope=scope, space="copy", as_of=seq, limit=200)
        assert {entry.key for entry in entries} == set(said)
    for mode in SearchMode:
        found = searching.search(scope=scope, query="walrus", spaces=["copy"], mode=mode)
        assert found.hits[0].citation.key == "../odd key/ü.md"
    versions.roll_back(scope=scope, space="copy", to=0, why="test")
    assert selectors.list_entries(scope=scope, space="copy") == []


def test_the_texts_are_plain_files_inside_the_archive(
    scope: Any, write: Callable[..., Any]
) -> None:
    write("docs/a.md", "# Hello\n")
    write("../../etc/passwd", "not a path")
    with tarfile.open(fileobj=io.BytesIO(export(scope, "notes"))) as tar:
        names = tar.getnames()
        member = tar.extractfile("entries/docs/a.md")
        assert member is not None
        assert member.read() == b"# Hello\n"
    assert not [name for name in names if ".." in name.split("/")]


def test_what_is_no_archive_or_was_changed_is_refused(
    scope: Any, write: Callable[..., Any]
) -> None:
    import gzip

    write("k", "the text")
    data = export(scope, "notes")
    changed = gzip.compress(gzip.decompress(data).replace(b'"text":"the', b'"text":"tha'))
    for wrong in (b"", b"nothing", data[:200], changed):
        with pytest.raises(InvalidInput):
            bring(scope, "copy", wrong)
    with pytest.raises(Conflict):
        bring(scope, "notes", data)


def test_a_branch_is_exported_with_its_parent_only(scope: Any, write: Callable[..., Any]) -> None:
    write("k", "text")
    versions.create_branch(scope=scope, space="notes", name="draft")
    with pytest.raises(Conflict):
        export(scope, "draft")
