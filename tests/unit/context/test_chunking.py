"""Chunks joined are the text, fit the model's window and know their headings."""

import pytest

from apps.context.chunking import (
    MAX_TOKENS,
    Syntax,
    count_tokens,
    heading_of,
    split,
    split_entry,
    syntax_of,
)
from apps.context.types import SpaceKind

TEXTS = [
    "",
    "\n",
    "one line",
    "x" * 5000,
    "日本語テキスト。" * 800,
    "a b " * 9000,
    "\n" * 3000,
    "é\r\n" * 700,
    "😀" * 900,
    "\n" + "1:2 " * 9000,
    "a_b_c;" * 900,
    "# T\n\n" + "Sentence number one. " * 300 + "\n```\n" + "code()\n" * 400 + "```\ntail   \n\n",
    "def f(x):\n    return 1\n\n\nclass A:\n    def m(self):\n        pass\n" * 60,
]


@pytest.mark.parametrize("syntax", list(Syntax))
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_joined_pieces_are_the_text(text: str, syntax: Syntax) -> None:
    pieces = split(text, syntax=syntax)
    assert "".join(piece.text for piece in pieces) == text
    assert all(text[p.start : p.start + len(p.text)] == p.text for p in pieces)
    assert all(count_tokens(piece.text) <= MAX_TOKENS + 36 for piece in pieces)


def test_a_piece_knows_the_headings_above_it() -> None:
    body = "Words without end. " * 60
    code = "```\n# not a heading\n```"
    text = f"# Guide\n\n{body}\n\n## Setup ##\n\n{body}\n\n{code}\n\n{body}\n# Other\n{body}"
    headings = {piece.heading for piece in split(text, syntax=Syntax.MARKDOWN)}
    assert headings == {"", "Guide", "Guide > Setup", "Other"}


def test_the_title_of_prose_goes_with_every_later_piece() -> None:
    pieces = split("On Bees\n\n" + "Bees dance. " * 200, syntax=Syntax.PROSE)
    assert [piece.heading for piece in pieces] == ["", *["On Bees"] * (len(pieces) - 1)]
    assert pieces[1].indexed.startswith("On Bees\n")


def test_the_same_text_under_another_heading_is_another_piece() -> None:
    body = "Alike in both. " * 40
    one, other = (split(f"{t}\n\n{body}{body}", syntax=Syntax.PROSE)[-1] for t in ("A", "B"))
    assert one.text == other.text
    assert one.hash != other.hash


@pytest.mark.parametrize(
    "speaker",
    [
        "Bob:",
        "- Bob:",
        "**Bob**:",
        "**Bob:**",
        "Dr. Bob O'Neil (guest):",
        "Bob (2:03 pm):",
        "[2:03 pm] Bob:",
        "[08/05/2023, 13:56:01] Bob:",
        "(1:56 pm on 8 May, 2023) Bob:",
        "13:56 Bob:",
        "2:03 p.m. - Bob:",
        "08/05/23, 13:56 - Bob:",
        "2026-05-08T13:56:00Z Bob:",
        "2026-05-08 13:56 | Bob:",
        "D1:3 Bob:",
        "Agent47:",
    ],
)
def test_a_turn_begins_with_its_speaker(speaker: str) -> None:
    turns = ["Ann: Where is it?\n", f"{speaker} Under the mat,\nas ever.\n", "Ann: Thanks.\n"]
    pieces = split("".join(turns), syntax=Syntax.DIALOGUE)
    assert [piece.text for piece in pieces] == turns


def test_a_turn_is_found_by_the_words_around_it_and_means_itself() -> None:
    one, other, last = split("Ann: Where?\nBob: Lisbon.\nAnn: Nice.\n", syntax=Syntax.DIALOGUE)
    assert other.context == "Ann: Where?\nAnn: Nice."
    assert (one.context, last.context) == ("Bob: Lisbon.", "Bob: Lisbon.")
    assert other.indexed == "Bob: Lisbon."


def test_a_line_that_names_nobody_goes_on_with_the_turn() -> None:
    text = "Ann: The plan is\nhttp://x.test/a\n12:30 lunch\n(13:00) tea\nand so on.\n"
    assert [piece.text for piece in split(text, syntax=Syntax.DIALOGUE)] == [text]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# Title", (1, "Title")),
        ("## Title ##\n", (2, "Title")),
        ("# C#", (1, "C#")),
        ("####### seven", None),
        ("#hashtag", None),
        ("# " + " " * 100_000, None),
    ],
)
def test_headings_are_read_like_commonmark(line: str, expected: tuple[int, str] | None) -> None:
    assert heading_of(line) == expected


@pytest.mark.parametrize(
    ("key", "kind", "expected"),
    [
        ("docs/a.MD", SpaceKind.TEXT, Syntax.MARKDOWN),
        ("src/a.py", SpaceKind.TEXT, Syntax.CODE),
        ("notes", SpaceKind.CODE, Syntax.CODE),
        ("notes", SpaceKind.TEXT, Syntax.PROSE),
        ("a.txt", SpaceKind.CODE, Syntax.PROSE),
        ("talk.md", SpaceKind.DIALOGUE, Syntax.DIALOGUE),
    ],
)
def test_the_syntax_follows_the_name(key: str, kind: SpaceKind, expected: Syntax) -> None:
    assert syntax_of(key, kind) is expected


METHODS = "".join(
    f"    # Note {n}, ünicode.\n    def m{n}(self):\n        x = {n}\n        return x + 1\n\n"
    for n in range(60)
)


def test_code_is_cut_before_definitions_and_what_is_said_about_them() -> None:
    text = f"import os\n\n\nclass Tide(Base):\n{METHODS}"
    pieces = split_entry(text, key="tide.py", kind=SpaceKind.CODE)
    assert "".join(piece.text for piece in pieces) == text
    assert len(pieces) > 5
    assert all(piece.text.startswith("    # Note") for piece in pieces[1:])
    assert {piece.heading for piece in pieces} == {"", "class Tide(Base)"}


@pytest.mark.parametrize("key", ["a.js", "a.jsx", "a.ts", "a.tsx", "a.go", "a.rs", "a.java"])
@pytest.mark.parametrize(
    "text",
    [
        "function a() { return 1 }\n" * 90,
        "[" * 4000 + "]" * 4000,
        "class A {\n  /** é */ b() {}\n" * 70,
        "\x00\ufeff" * 500,
    ],
    ids=range(4),
)
def test_every_grammar_keeps_all_of_the_text(key: str, text: str) -> None:
    pieces = split_entry(text, key=key, kind=SpaceKind.CODE)
    assert "".join(piece.text for piece in pieces) == text
    assert all(text[p.start : p.start + len(p.text)] == p.text for p in pieces)


def test_a_long_line_is_cut_at_the_ends_of_sentences() -> None:
    text = "The tide table of the harbour is signed at noon. " * 4000
    pieces = split(text, syntax=Syntax.PROSE)
    assert "".join(piece.text for piece in pieces) == text
    assert sum(piece.text.startswith("The tide") for piece in pieces) > len(pieces) * 0.9
