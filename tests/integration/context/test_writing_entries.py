"""Writing: append-only revisions, reuse by hash, no lost update, nothing half-written."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from apps.context import selectors
from apps.context.models import Blob, Chunk, Embedding, Entry, Revision, Space
from apps.context.services import versions, writing
from octavo.kernel.errors import Conflict, InvalidInput, NotFound, Unavailable

LONG = "\n\n".join(
    f"## Part {n}\n\nParagraph {n} speaks of topic{n} at some length. " + f"Word{n} again. " * 40
    for n in range(12)
)


def test_an_entry_reads_back_exactly_as_it_was_written(
    scope: Any, write: Callable[..., Any]
) -> None:
    text = "Zeile eins\r\nzwei 😀\n\n\n" + LONG + "   \n\t"
    result = write("a/b.md", text)
    entry = selectors.get_entry(scope=scope, space="notes", key="a/b.md")
    assert entry.text == text
    assert entry.revision.number == 1
    assert result.changed
    assert result.chunks == result.embedded > 5


def test_the_same_text_makes_no_revision(scope: Any, write: Callable[..., Any]) -> None:
    write("k", LONG)
    again = write("k", LONG)
    assert not again.changed
    assert again.revision.number == 1
    assert Revision.objects.count() == 1


def test_an_edit_embeds_only_the_chunks_that_are_new(
    write: Callable[..., Any], embedder: Any
) -> None:
    write("k.md", LONG)
    embedder.texts.clear()
    result = write("k.md", LONG.replace("topic7", "subject7"))
    assert result.embedded == len(embedder.texts) == 1
    assert result.reused == result.chunks - 1


def test_every_earlier_revision_can_still_be_read(scope: Any, write: Callable[..., Any]) -> None:
    texts = [LONG, LONG.replace("topic3", "x"), "short", LONG[:900] + LONG[1500:], "short"]
    seqs = [write("k.md", text).revision.seq for text in texts]
    for text, seq in zip(texts, seqs, strict=True):
        assert selectors.get_entry(scope=scope, space="notes", key="k.md", as_of=seq).text == text
    with pytest.raises(NotFound):
        selectors.get_entry(scope=scope, space="notes", key="k.md", as_of=0)


def test_a_stale_base_is_refused_with_the_head(scope: Any, write: Callable[..., Any]) -> None:
    write("k", "one")
    write("k", "two", base_rev=1, why="second")
    with pytest.raises(Conflict) as caught:
        write("k", "three", base_rev=1)
    assert caught.value.extra["head"]["revision"] == 2
    assert caught.value.extra["head"]["why"] == "second"
    with pytest.raises(Conflict):
        write("k", "new", base_rev=0)
    assert selectors.get_entry(scope=scope, space="notes", key="k").text == "two"


def test_eight_writers_lose_no_update(scope: Any, write: Callable[..., Any]) -> None:
    """Each adds its line to what it read, and tries again when somebody was faster."""
    from django.db import connections

    write("log", "start")
    failures: list[BaseException] = []

    def add(name: int) -> None:
        try:
            for turn in range(4):
                while not _append(scope, f"{name}.{turn}"):
                    pass
        except BaseException as error:  # noqa: BLE001  reported by the test
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=add, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    lines = selectors.get_entry(scope=scope, space="notes", key="log").text.split("\n")
    assert sorted(lines[1:]) == sorted(f"{n}.{t}" for n in range(8) for t in range(4))
    assert Revision.objects.count() == 33
    place = Space.objects.get()
    assert place.seq == 33
    assert place.chunk_count == Chunk.objects.filter(died=None).count()


def _append(scope: Any, line: str) -> bool:
    head = selectors.get_entry(scope=scope, space="notes", key="log")
    try:
        writing.write_entry(
            scope=scope,
            space="notes",
            key="log",
            content=f"{head.text}\n{line}",
            why="one more",
            base_rev=head.revision.number,
        )
    except Conflict:
        return False
    return True


def test_nothing_is_written_while_no_model_answers(
    scope: Any, write: Callable[..., Any], embedder: Any
) -> None:
    embedder.is_down = True
    with pytest.raises(Unavailable):
        write("k", "text")
    assert not Entry.objects.exists()
    assert not Blob.objects.exists()
    assert Space.objects.get().seq == 0


def test_a_deleted_entry_is_gone_from_the_present_only(
    scope: Any, write: Callable[..., Any]
) -> None:
    seq = write("k", "about lighthouses").revision.seq
    writing.delete_entry(scope=scope, space="notes", key="k", why="outdated")
    with pytest.raises(NotFound):
        selectors.get_entry(scope=scope, space="notes", key="k")
    assert selectors.list_entries(scope=scope, space="notes") == []
    then = selectors.get_entry(scope=scope, space="notes", key="k", as_of=seq)
    assert then.text == "about lighthouses"
    operations = [
        r.operation for r in selectors.list_revisions(scope=scope, space="notes", key="k")
    ]
    assert operations == ["delete", "write"]
    back = write("k", "about lighthouses", base_rev=0)
    assert (back.revision.number, back.embedded) == (3, 0)
    place = Space.objects.get()
    assert (place.entry_count, place.chunk_count) == (1, 1)


def test_erasure_removes_every_trace_but_what_another_entry_says(
    scope: Any, write: Callable[..., Any]
) -> None:
    write("a", "shared sentence")
    write("b", "shared sentence")
    write("a", "a secret only here")
    writing.erase_entry(scope=scope, space="notes", key="a", why="asked to")
    assert [blob.text for blob in Blob.objects.all()] == ["shared sentence"]
    assert Embedding.objects.count() == 1
    assert not Revision.objects.filter(entry__key="a").exists()
    assert Space.objects.get().chunk_count == 1


def test_a_step_that_is_tried_again_writes_once(scope: Any, write: Callable[..., Any]) -> None:
    from octavo.kernel import ids

    run = scope.acting_as(scope.principal, run_id=ids.new())

    def put(content: str) -> Any:
        return writing.write_entry(
            scope=run, space="notes", key="k", content=content, why="w", step="tool:1"
        )

    write("k", "before")
    first = put("by the run")
    write("k", "by somebody else since")
    again = put("by the run")
    assert again.revision.id == first.revision.id
    assert selectors.get_entry(scope=scope, space="notes", key="k").revision.number == 3


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("why", {"why": "  "}),
        ("content", {"content": "a\x00b"}),
        ("content", {"content": "half \ud83d"}),
        ("key", {"key": ""}),
        ("key", {"key": "x" * 501}),
        ("key", {"key": "line\nbreak"}),
        ("trust", {"trust": "maybe"}),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_field(
    scope: Any, space: str, field: str, values: dict[str, str]
) -> None:
    arguments = {"key": "k", "content": "c", "why": "w"} | values
    with pytest.raises(InvalidInput) as caught:
        writing.write_entry(scope=scope, space=space, **arguments)
    assert caught.value.errors[0]["path"] == f"/{field}"


def test_every_write_leaves_an_audit_entry(
    installation: Any, scope: Any, write: Callable[..., Any]
) -> None:
    from apps.governance import selectors as governance

    write("k", "text")
    ok, checked, _head = governance.verify_audit(organisation_id=scope.organisation_id)
    assert ok
    assert checked > 1


def test_lists_are_newest_first_and_page_by_id(scope: Any, write: Callable[..., Any]) -> None:
    for n in range(5):
        write(f"docs/{n}", f"text {n}")
    write("other", "text")
    first = selectors.list_entries(scope=scope, space="notes", prefix="docs/", limit=3)
    rest = selectors.list_entries(
        scope=scope, space="notes", prefix="docs/", limit=3, before=first[-1].id
    )
    assert [entry.key for entry in (*first, *rest)] == [f"docs/{n}" for n in (4, 3, 2, 1, 0)]


def test_erasure_reaches_branches_and_leaves_no_text_or_vector(
    scope: Any, write: Callable[..., Any]
) -> None:
    write("a", "A secret of the harbour.")
    write("b", "No secret at all.")
    versions.create_branch(scope=scope, space="notes", name="draft")
    versions.create_branch(scope=scope, space="draft", name="deeper")
    for branch in ("draft", "deeper"):
        writing.write_entry(
            scope=scope, space=branch, key="a", content=f"A secret of {branch}.", why="w"
        )
    assert writing.erase_entry(scope=scope, space="notes", key="a", why="asked to") == 3
    assert list(Blob.objects.filter(text__contains="A secret")) == []
    assert Embedding.objects.count() == Blob.objects.count() == 1
    for space in ("notes", "draft", "deeper"):
        entries = selectors.list_entries(scope=scope, space=space)
        assert [entry.key for entry in entries] == ["b"]
        place = selectors.get_space(scope=scope, name=space)
        assert (place.entries, place.chunks) == (1, 1)
