"""Entries written by hand: made, revised, refused, and never over what somebody else wrote."""

import io
import tarfile
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from tests.integration.console.test_history_pages import TEA, notes, text_of
from tests.integration.context.conftest import embedder, word_vectors

__all__ = ["embedder", "notes", "word_vectors"]


def written(scope: Any, key: str) -> Any:
    from apps.context import selectors

    return selectors.get_entry(scope=scope, space="notes", key=key)


def test_an_entry_is_made(admin: Client, notes: Any) -> None:
    assert "/context/notes/new" in text_of(admin.get("/context/notes"))
    assert 'value="cellar/"' in text_of(admin.get("/context/notes/new?key=cellar/"))
    given = {
        "key": "cellar/milk.md",
        "kind": "fact",
        "text": "\r\n  Milk is in the cellar.\r\n",
        "metadata": '{"litres": 12}',
        "valid_from": "2026-05-01T06:00",
        "why": "Moved.",
    }
    made = admin.post("/context/notes/new", given)
    assert made["Location"] == "/context/notes/entry/cellar/milk.md"
    milk = written(notes, "cellar/milk.md")
    assert milk.text == "\n  Milk is in the cellar.\n"
    assert (milk.kind, milk.metadata, milk.revision.why) == ("fact", {"litres": 12}, "Moved.")
    assert milk.revision.valid_from == datetime(2026, 5, 1, 6, tzinfo=UTC)
    taken = text_of(admin.post("/context/notes/new", given), 409)
    assert "There is an entry cellar/milk.md already" in taken
    assert "Milk is in the cellar." in taken


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("metadata", "{", "not JSON"),
        ("metadata", "[1]", "a JSON object"),
        ("valid_to", "soon", "a time such as"),
        ("valid_to", "12", "a time such as"),
        ("why", "", "say why"),
        ("key", "", "printable characters"),
        ("kind", "poem", "one of document"),
    ],
)
def test_what_cannot_be_kept_is_told_beside_its_field(
    admin: Client, notes: Any, field: str, value: str, said: str
) -> None:
    given = {"key": "milk.md", "kind": "document", "text": "Fresh.", "why": "New."}
    html = text_of(admin.post("/context/notes/new", {**given, field: value}), 422)
    assert f'id="{field}-error"' in html
    assert said in html
    assert "Fresh." in html


def test_an_edit_keeps_what_it_does_not_ask(admin: Client, notes: Any) -> None:
    from apps.context.services import writing

    moment = datetime(2026, 5, 1, 6, 30, 12, 345, tzinfo=UTC)
    writing.write_entry(
        scope=notes,
        space="notes",
        key="milk.md",
        content="\nFresh.\n",
        why="New.",
        metadata={"litres": 1},
        trust="untrusted",
        sources=[{"space": "notes", "key": "tea.md", "revision": 1}],
        valid_from=moment,
        expires_at=datetime(2999, 1, 1, tzinfo=UTC),
    )
    form = text_of(admin.get("/context/notes/edit/milk.md"))
    assert 'name="base" value="1"' in form
    assert "<textarea" in form
    assert ">\n\nFresh.\n</textarea>" in form
    given = {
        "base": "1",
        "kind": "document",
        "text": "\nFresher.\n",
        "metadata": '{"litres": 2}',
        "valid_from": "2026-05-01T06:30",
        "why": "Newer.",
    }
    assert admin.post("/context/notes/edit/milk.md", given).status_code == 302
    milk = written(notes, "milk.md")
    assert (milk.text, milk.metadata, milk.trust) == ("\nFresher.\n", {"litres": 2}, "untrusted")
    assert milk.revision.valid_from == moment
    assert milk.revision.sources == [{"space": "notes", "key": "tea.md", "revision": 1}]
    assert milk.revision.expires_at == datetime(2999, 1, 1, tzinfo=UTC)
    assert milk.revision.number == 2


def test_an_edit_never_goes_over_what_was_not_seen(admin: Client, notes: Any) -> None:
    stale = {"base": "1", "kind": "document", "text": "At <six>.", "why": "Earlier."}
    html = text_of(admin.post("/context/notes/edit/tea.md", stale), 409)
    assert "wrote revision 2 while you were editing" in html
    assert "Always." in html
    assert "At &lt;six&gt;." in html
    assert 'name="base" value="2"' in html
    assert written(notes, "tea.md").text == f"{TEA} Always."
    assert admin.post("/context/notes/edit/tea.md", {**stale, "base": "2"}).status_code == 302
    assert written(notes, "tea.md").text == "At <six>."


def test_an_edit_of_what_was_deleted_is_not_lost(admin: Client, notes: Any) -> None:
    from apps.context.services import writing

    writing.delete_entry(scope=notes, space="notes", key="tea.md", why="Cold.")
    given = {"base": "2", "kind": "document", "text": "At six.", "why": "Earlier."}
    html = text_of(admin.post("/context/notes/edit/tea.md", given), 409)
    assert "was deleted while you were editing" in html
    assert "At six." in html
    assert 'name="base" value="0"' in html
    assert admin.post("/context/notes/edit/tea.md", {**given, "base": "0"}).status_code == 302
    assert written(notes, "tea.md").text == "At six."


def test_what_has_no_form_says_why(admin: Client, notes: Any, installation: Any) -> None:
    from apps.context.services import writing
    from tests.integration.console.test_pages import viewer

    assert admin.get("/context/notes/edit/nothing.md").status_code == 404
    assert admin.get("/context/nowhere/new").status_code == 404
    writing.write_entry(
        scope=notes, space="notes", key="long.txt", content="tea " * 100_001, why="Long."
    )
    assert "too many for a form" in text_of(admin.get("/context/notes/edit/long.txt"), 422)
    assert "/edit/" not in text_of(admin.get("/context/notes/entry/long.txt"))
    reader = viewer(installation)
    assert "/context/notes/new" not in text_of(reader.get("/context/notes"))
    refused = reader.post("/context/notes/new", {"key": "a", "text": "b", "why": "c"})
    assert refused.status_code in {403, 422}


def test_a_space_lists_its_changes(admin: Client, notes: Any) -> None:
    from apps.context.services import versions, writing

    for n in range(31):
        writing.write_entry(
            scope=notes, space="notes", key="cup.md", content=f"Cup {n}.", why=f"Filled {n}."
        )
    writing.delete_entry(scope=notes, space="notes", key="cup.md", why="Broken <b>.")
    versions.roll_back(scope=notes, space="notes", to=1, why="Too much.")
    html = text_of(admin.get("/context/notes/history"))
    assert "Too much." in html
    assert "taken back · and 1 more" in html
    assert "<s>cup.md</s>" in html
    assert "Broken &lt;b&gt;." in html
    assert "Filled 30." in html
    assert "Filled 2." not in html
    assert "?before=7" in html
    older = text_of(admin.get("/context/notes/history?before=7"))
    assert "Filled 2." in older
    assert "Noted." in older
    assert "Older changes" not in older
    assert "None before that." in text_of(admin.get("/context/notes/history?before=1"))
    assert "Too much." in text_of(admin.get("/context/notes/history?before=x"))
    admin.post("/context/notes/branches", {"branch": "draft"})
    assert "None yet in this branch." in text_of(admin.get("/context/draft/history"))


def test_a_space_lists_what_is_in_doubt(admin: Client, notes: Any) -> None:
    from apps.context.services import writing
    from apps.context.types import EntryKind

    assert "Nothing is in doubt" in text_of(admin.get("/context/notes/flags"))
    for key, value in (("a", "seven"), ("b", "eight")):
        writing.write_entry(
            scope=notes,
            space="notes",
            key=key,
            content=f"It opens at {value}.",
            why="Seen.",
            kind=EntryKind.FACT,
            metadata={"subject": "tea", "attribute": "opens", "value": value},
        )
    html = text_of(admin.get("/context/notes/flags"))
    assert html.count("Contradicted") == 2
    assert 'href="/context/notes/entry/a"' in html


def test_a_space_is_downloaded(admin: Client, notes: Any) -> None:
    answer = admin.get("/context/notes/export")
    assert answer["Content-Disposition"] == 'attachment; filename="notes.tar.gz"'
    archive = io.BytesIO(b"".join(answer.streaming_content))
    with tarfile.open(fileobj=archive) as files:
        assert "history.jsonl" in {name.rpartition("/")[2] for name in files.getnames()}
    admin.post("/context/notes/branches", {"branch": "draft"})
    assert "/export" not in text_of(admin.get("/context/draft"))
    assert "is a branch" in text_of(admin.get("/context/draft/export"), 409)
