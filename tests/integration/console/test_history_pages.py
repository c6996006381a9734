"""A space through time on the console: read as it stood, named, looked at before it goes back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from tests.integration.context.conftest import embedder, word_vectors
from tests.integration.context.word_vectors import WordVectors, point_embedding_at

__all__ = ["embedder", "word_vectors"]

TEA, COFFEE = "The tea kitchen opens at seven.", "The coffee bar opens at eight."


@pytest.fixture
def notes(installation: Any, embedder: WordVectors) -> Any:
    """`tea` at change 1, revised at 2; `coffee` since 3."""
    from apps.context.services import spaces, writing

    scope = installation.scope
    point_embedding_at(scope, url=embedder.url, name="words")
    spaces.create_space(scope=scope, name="notes")
    for key, text in (("tea.md", TEA), ("tea.md", f"{TEA} Always."), ("coffee.md", COFFEE)):
        writing.write_entry(scope=scope, space="notes", key=key, content=text, why="Noted.")
    return scope


def text_of(answer: Any, status: int = 200) -> str:
    html: str = answer.content.decode()
    assert answer.status_code == status, html[:2000]
    return html


def test_a_space_and_an_entry_are_read_as_they_stood(admin: Client, notes: Any) -> None:
    html = text_of(admin.get("/context/notes?as_of=1"))
    assert "as it stood after change 1" in html
    assert "tea.md" in html
    assert "coffee.md" not in html
    assert "Add files" not in html
    assert "Always" not in text_of(admin.get("/context/notes/entry/tea.md?as_of=1"))
    assert "coffee.md" in text_of(admin.get("/context/notes?as_of=2999-01-01T00:00"))
    assert "There was nothing" in text_of(admin.get("/context/notes?as_of=2001-01-01"))
    assert "no moment of a space" in text_of(admin.get("/context/notes?as_of=tuesday"), 422)
    assert "no moment" in text_of(admin.get("/context/notes/entry/tea.md?as_of=x"), 422)


def test_a_space_goes_back_after_a_look_and_forth_again(admin: Client, notes: Any) -> None:
    assert admin.post("/context/notes/snapshots", {"name": "first"}).status_code == 302
    assert "already" in text_of(admin.post("/context/notes/snapshots", {"name": "first"}), 409)
    preview = text_of(admin.get("/context/notes/history?to=1"))
    assert "Is removed" in preview
    assert "Is revised" in preview
    assert 'name="why"' in preview
    refused = admin.post("/context/notes/rollback", {"to": "1", "why": ""})
    assert refused.status_code == 422
    done = admin.post("/context/notes/rollback", {"to": "1", "why": "Coffee was wrong."})
    assert done["Location"] == "/context/notes/history"
    assert "coffee.md" not in text_of(admin.get("/context/notes"))
    assert "Comes back" in text_of(admin.get("/context/notes/history?to=first"))
    undone = admin.post("/context/notes/rollback", {"to": "first", "why": "It was right."})
    assert undone.status_code == 302
    assert "coffee.md" in text_of(admin.get("/context/notes"))
    assert "has no snapshot" in text_of(admin.get("/context/notes/history?to=nope"), 404)
    assert "Nothing would change" in text_of(admin.get("/context/notes/history?to=first"))
    assert admin.post("/context/notes/snapshots/forget", {"name": "first"}).status_code == 302
    assert admin.post("/context/notes/snapshots/forget", {"name": "first"}).status_code == 404


def test_a_viewer_sees_what_would_change_and_no_form(
    admin: Client, notes: Any, installation: Any
) -> None:
    from tests.integration.console.test_pages import viewer

    reader = viewer(installation)
    html = text_of(reader.get("/context/notes/history?to=1"))
    assert "Is removed" in html
    assert "/rollback" not in html
    assert reader.post("/context/notes/rollback", {"to": "1", "why": "x"}).status_code == 403


def test_a_branch_is_made_looked_at_and_merged(admin: Client, notes: Any) -> None:
    from apps.context.services import writing

    made = admin.post("/context/notes/branches", {"branch": "draft"})
    assert made["Location"] == "/context/draft"
    assert "branch of" in text_of(admin.get("/context/draft"))
    assert "Nothing: the branch says" in text_of(admin.get("/context/draft/merge"))
    writing.write_entry(scope=notes, space="draft", key="milk.md", content="Fresh.", why="New.")
    writing.write_entry(scope=notes, space="draft", key="tea.md", content="At six.", why="New.")
    writing.write_entry(scope=notes, space="notes", key="tea.md", content="At nine.", why="New.")
    page = text_of(admin.get("/context/draft/merge"))
    assert "milk.md" in page
    assert "Is added" in page
    clash = text_of(admin.post("/context/draft/merge", {"act": "merge", "why": "Good."}), 409)
    assert "tea.md was changed on both sides" in clash
    assert "At nine." in clash
    odd = {"act": "merge", "why": "Good.", "side:tea.md": "both"}
    assert "choose one of the two" in text_of(admin.post("/context/draft/merge", odd), 422)
    answered = {"act": "merge", "why": "Good.", "side:tea.md": "theirs"}
    assert admin.post("/context/draft/merge", answered)["Location"] == "/context/notes/history"
    assert "At six." in text_of(admin.get("/context/notes/entry/tea.md"))
    assert "takes no more writes" in text_of(admin.get("/context/draft/merge"))
    assert admin.get("/context/notes/merge").status_code == 404


def test_a_space_is_tidied_up_after_a_look(admin: Client, notes: Any) -> None:
    from apps.context import selectors
    from apps.context.services import writing
    from apps.context.types import EntryKind

    assert "Nothing to tidy up" in text_of(admin.post("/context/notes/tidy"))
    for key in ("one", "two"):
        writing.write_entry(
            scope=notes, space="notes", key=key, content=TEA, why="Seen.", kind=EntryKind.MEMORY
        )
    proposed = admin.post("/context/notes/tidy")["Location"]
    assert "Is removed" in text_of(admin.get(proposed))
    closed = admin.post(proposed, {"act": "close", "why": "Both are needed."})
    assert closed["Location"] == "/context/notes/history"
    again = admin.post("/context/notes/tidy")["Location"]
    assert admin.post(again, {"act": "merge", "why": "Once is enough."}).status_code == 302
    left = selectors.list_entries(scope=notes, space="notes")
    assert {entry.key for entry in left} & {"one", "two"} == {"two"}


def test_an_entry_shows_its_metadata_and_when_it_holds(admin: Client, notes: Any) -> None:
    from apps.context.services import writing

    writing.write_entry(
        scope=notes,
        space="notes",
        key="milk.md",
        content="Milk is in the cellar.",
        why="Moved.",
        metadata={"items": ["oat", "soy"], "place": "cellar <b>", "litres": 12},
        valid_from=datetime(2026, 5, 1, 6, tzinfo=UTC),
    )
    html = text_of(admin.get("/context/notes/entry/milk.md"))
    for name, value in {
        "items": "[&quot;oat&quot;, &quot;soy&quot;]",
        "place": "cellar &lt;b&gt;",
        "litres": "12",
    }.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in html
    assert "2026-05-01 06:00 UTC" in html
    assert "Metadata" not in text_of(admin.get("/context/notes/entry/tea.md"))
