"""A turn that is an entry of its own is found by the words of the turns around it."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from apps.context.services import merging, searching, spaces, transferring, versions, writing
from apps.context.types import SearchMode, SpaceKind

TALK = {
    "call/8": "Ann: Which harbour did you see?",
    "call/9": "Bob: Lisbon, last spring.",
    "call/10": "Ann: Splendid.",
    "call/11": "Bob: Next year Porto.",
}


@pytest.fixture
def say(scope: Any) -> Callable[..., Any]:
    spaces.create_space(scope=scope, name="talks", kind=SpaceKind.DIALOGUE)

    def said(key: str, content: str, space: str = "talks") -> Any:
        return writing.write_entry(scope=scope, space=space, key=key, content=content, why="said")

    return said


@pytest.fixture
def talk(say: Callable[..., Any]) -> Callable[..., Any]:
    """`say`, after the talk."""
    for key, text in TALK.items():
        say(key, text)
    return say


@pytest.fixture
def find(scope: Any) -> Callable[..., set[str]]:
    def found(words: str, space: str = "talks", **more: Any) -> set[str]:
        result = searching.search(
            scope=scope, query=words, spaces=[space], mode=SearchMode.LEXICAL, **more
        )
        return {hit.citation.key for hit in result.hits}

    return found


@pytest.mark.parametrize("order", [1, -1])
def test_turns_are_found_by_their_neighbours_words_in_whatever_order_they_come(
    say: Callable[..., Any], find: Callable[..., set[str]], embedder: Any, order: int
) -> None:
    for key in list(TALK)[::order]:
        say(key, TALK[key])
    assert find("harbour") == {"call/8", "call/9"}
    assert find("lisbon") == {"call/8", "call/9", "call/10"}
    assert find("porto") == {"call/10", "call/11"}
    assert sorted(embedder.texts) == sorted(TALK.values())


def test_a_number_may_have_zeros_before_it_and_an_ending_after_it(
    say: Callable[..., Any], find: Callable[..., set[str]]
) -> None:
    for number, word in (("099", "gull"), ("100", "heron"), ("101", "stork")):
        say(f"D1:{number}.txt", f"Ann: A {word}.")
    say("D2:100.txt", "Ann: Another day.")
    assert find("heron") == {"D1:099.txt", "D1:100.txt", "D1:101.txt"}


def test_turns_are_next_to_each_other_from_both_sides(
    scope: Any, say: Callable[..., Any], find: Callable[..., set[str]]
) -> None:
    say("9", "Ann: A gull.")
    say("10", "Bob: A heron.")
    say("010", "Bob: A stork.")
    assert find("gull") == find("heron") == {"9", "10"}
    writing.erase_entry(scope=scope, space="talks", key="9", why="asked to")
    assert find("gull") == set()


def test_a_change_is_known_to_the_turns_around_it(
    scope: Any, talk: Callable[..., Any], find: Callable[..., set[str]]
) -> None:
    before = talk("call/9", "Bob: Genoa, in the autumn.").revision.seq - 1
    assert find("lisbon") == set()
    assert find("genoa") == {"call/8", "call/9", "call/10"}
    writing.delete_entry(scope=scope, space="talks", key="call/9", why="a slip")
    assert find("genoa") == set()
    versions.roll_back(scope=scope, space="talks", to=before, why="it was right")
    assert find("lisbon") == {"call/8", "call/9", "call/10"}


def test_the_turns_of_a_text_keep_theirs_as_it_grows(
    say: Callable[..., Any], find: Callable[..., set[str]]
) -> None:
    say("1", "Ann: A gull.\nBob: A heron.")
    say("2", "Ann: A stork.")
    assert find("stork") == {"1", "2"}
    say("1", "Ann: A gull.\nBob: A heron.\nAnn: A crow.\nBob: A rook.")
    assert find("stork rook") == {"1", "2"}
    say("0", "Bob: A swan.")
    assert find("swan") == {"0", "1"}


def test_a_branch_has_its_own_words_around_a_turn_and_brings_them_home(
    scope: Any, talk: Callable[..., Any], find: Callable[..., set[str]]
) -> None:
    versions.create_branch(scope=scope, space="talks", name="other")
    talk("call/9", "Bob: Genoa, in the autumn.", space="other")
    talk("call/11", "Bob: Next year Faro.", space="other")
    talk("call/12", "Ann: By train.", space="other")
    assert find("harbour", space="other") == {"call/8", "call/9"}
    assert find("genoa", space="other") == {"call/9"}  # the turns around it are the parent's
    assert find("genoa") == set()
    merging.merge_branch(scope=scope, space="talks", branch="other", why="better")
    assert find("genoa") == {"call/8", "call/9", "call/10"}
    assert find("lisbon") == set()
    assert find("train") == {"call/11", "call/12"}


def test_what_is_erased_is_found_through_no_turn_at_any_moment(
    scope: Any, talk: Callable[..., Any], find: Callable[..., set[str]]
) -> None:
    versions.create_branch(scope=scope, space="talks", name="other")
    talk("call/10", "Ann: Lovely.", space="other")
    latest = talk("call/10", "Ann: Great.").revision.seq
    writing.erase_entry(scope=scope, space="talks", key="call/9", why="asked to")
    assert find("lisbon") == find("lisbon", space="other") == set()
    for moment in range(latest + 1):
        assert find("lisbon", as_of=moment) == set()
    assert find("harbour") == {"call/8"}
    assert find("porto", as_of=latest - 1) >= {"call/11"}


@pytest.mark.usefixtures("talk")
def test_what_is_brought_in_elsewhere_is_found_alike(
    scope: Any, find: Callable[..., set[str]]
) -> None:
    with transferring.open_export(scope=scope, space="talks") as file:
        transferring.import_space(scope=scope, space="copy", file=io.BytesIO(file.read()))
    assert find("lisbon", space="copy") == {"call/8", "call/9", "call/10"}


def test_the_turn_that_says_it_comes_before_those_around_it(
    scope: Any, talk: Callable[..., Any]
) -> None:
    talk("text", "\n".join(TALK.values()))
    hits = searching.search(
        scope=scope, query="splendid", spaces=["talks"], mode=SearchMode.LEXICAL
    ).hits
    assert {hit.text.strip() for hit in hits[:2]} == {TALK["call/10"]}
    assert len(hits) == 6


def test_entries_of_other_kinds_of_spaces_stand_alone(
    scope: Any, say: Callable[..., Any], find: Callable[..., set[str]]
) -> None:
    spaces.create_space(scope=scope, name="files", kind=SpaceKind.TEXT)
    for key, text in TALK.items():
        say(key, text, space="files")
    assert find("lisbon", space="files") == {"call/9"}
