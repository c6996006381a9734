"""A space can be read, searched and taken back as of any moment, exactly; and can branch."""

import random
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from apps.context import selectors
from apps.context.models import Chunk, Revision, Space
from apps.context.services import merging, searching, spaces, versions, writing
from apps.context.types import ChangeKind, Operation, Resolution, SearchMode, Side
from octavo.kernel.errors import Conflict, InvalidInput, NotFound
from tests.integration.context.replay import WORDS, Replay, act, misdescribed


def state(scope: Any, space: str = "notes", as_of: Any = None) -> dict[str, str]:
    entries = selectors.list_entries(scope=scope, space=space, limit=200, as_of=as_of)
    return {
        entry.key: selectors.get_entry(scope=scope, space=space, key=entry.key, as_of=as_of).text
        for entry in entries
    }


def found(scope: Any, query: str, **more: Any) -> set[str]:
    arguments = {"spaces": ["notes"], "limit": 100, "mode": SearchMode.EXACT} | more
    hits = searching.search(scope=scope, query=query, **arguments).hits
    return {hit.citation.key for hit in hits}


def counts_are_right(name: str = "notes") -> bool:
    place = Space.objects.get(name=name)
    return (place.entry_count, place.chunk_count) == (
        place.entries.filter(is_deleted=False).count(),
        Chunk.objects.filter(space=place, died=None).count(),
    )


@pytest.mark.parametrize("seed", range(3))
def test_every_moment_of_a_random_history_reads_and_searches_as_a_replay_says(
    scope: Any, space: str, seed: int
) -> None:
    rng, replay = random.Random(seed), Replay()
    for _ in range(18):
        act(rng, scope, space, replay)
    assert selectors.get_space(scope=scope, name=space).seq == replay.seq
    assert counts_are_right()
    for seq, said in enumerate(replay.states):
        assert state(scope, as_of=seq) == said
        word = rng.choice(WORDS)
        wanted = {key for key, text in said.items() if word in text}
        assert found(scope, word, as_of=seq) == wanted
        assert found(scope, word, as_of=seq, mode=SearchMode.LEXICAL) == wanted
        assert found(scope, word, as_of=seq, mode=SearchMode.DENSE) == set(said)
        first, begin = {"first": {"eq": word}}, {key for key in said if said[key].startswith(word)}
        assert found(scope, word, as_of=seq, mode=SearchMode.DENSE, where=first) == begin
    assert state(scope) == replay.now()
    assert misdescribed() == []
    for word in WORDS:
        begin = {key for key, text in replay.now().items() if text.startswith(word)}
        first = {"first": {"eq": word}}
        assert found(scope, word, mode=SearchMode.DENSE, where=first) == begin


def test_a_time_names_the_last_change_before_it(scope: Any, write: Callable[..., Any]) -> None:
    first = write("k", "one").revision
    second = write("k", "two").revision
    assert state(scope, as_of=first.created_at) == {"k": "one"}
    assert state(scope, as_of=second.created_at) == {"k": "two"}
    assert found(scope, "one", as_of=first.created_at) == {"k"}


def test_a_sequence_number_is_of_one_space_alone(scope: Any, write: Callable[..., Any]) -> None:
    write("k", "one")
    spaces.create_space(scope=scope, name="other")
    with pytest.raises(InvalidInput) as caught:
        searching.search(scope=scope, query="one", spaces=["notes", "other"], as_of=1)
    assert caught.value.errors[0]["path"] == "/as_of"


def test_a_rollback_is_followed_at_once_and_can_be_undone(
    scope: Any, write: Callable[..., Any], embedder: Any
) -> None:
    write("kept", "always here")
    write("changed", "about lighthouses")
    before = state(scope)
    versions.take_snapshot(scope=scope, space="notes", name="good")
    write("changed", "about bakeries")
    write("added", "about harbours")
    after = state(scope)
    embedder.texts.clear()
    preview = versions.preview_rollback(scope=scope, space="notes", to="good")
    done = versions.roll_back(scope=scope, space="notes", to="good", why="wrong import")
    assert [(c.key, c.kind) for c in done.changes] == [
        ("added", ChangeKind.REMOVE),
        ("changed", ChangeKind.REVISE),
    ]
    assert (preview.changes, preview.preview, preview.seq) == (done.changes, True, 4)
    assert state(scope) == before
    assert found(scope, "lighthouses", mode=SearchMode.LEXICAL) == {"changed"}
    assert found(scope, "bakeries", mode=SearchMode.LEXICAL) == set()
    assert not embedder.texts[2:], "nothing but the questions is embedded"
    history = selectors.list_revisions(scope=scope, space="notes", key="changed")
    assert (history[0].operation, history[0].restores, history[0].why) == (
        Operation.ROLLBACK,
        1,
        "wrong import",
    )
    versions.roll_back(scope=scope, space="notes", to=done.seq - 1, why="it was right")
    assert state(scope) == after
    assert state(scope, as_of=done.seq) == before
    assert counts_are_right()


def test_a_rollback_to_the_present_changes_nothing(scope: Any, write: Callable[..., Any]) -> None:
    seq = write("k", "one").revision.seq
    done = versions.roll_back(scope=scope, space="notes", to=seq, why="again")
    assert (done.seq, done.changes) == (seq, ())


@pytest.mark.parametrize("to", [-1, 99, "nowhere"])
def test_a_rollback_to_what_never_was_is_refused(
    scope: Any, write: Callable[..., Any], to: Any
) -> None:
    write("k", "one")
    with pytest.raises((InvalidInput, NotFound)):
        versions.roll_back(scope=scope, space="notes", to=to, why="w")


def test_a_rollback_that_is_killed_in_the_middle_leaves_nothing(
    scope: Any, write: Callable[..., Any], postgres: Any
) -> None:
    """It waits for the audit chain, its last statement, when its backend is shot."""
    from django.db import OperationalError, connections

    for n in range(5):
        write(f"k{n}", "first")
        write(f"k{n}", "second")
    before, revisions = state(scope), Revision.objects.count()
    raised: list[BaseException] = []

    def roll_back() -> None:
        try:
            versions.roll_back(scope=scope, space="notes", to=0, why="all of it")
        except OperationalError as error:
            raised.append(error)
        finally:
            connections.close_all()

    with psycopg.connect(postgres.superuser_url) as blocker:
        blocker.execute("LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=roll_back)
        thread.start()
        with psycopg.connect(postgres.superuser_url, autocommit=True) as killer:
            while not killer.execute(
                "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a "
                "JOIN pg_locks AS l ON l.pid = a.pid AND NOT l.granted "
                "WHERE l.relation = 'audit_entry'::regclass"
            ).fetchall():
                assert thread.is_alive()
        thread.join(30)
    assert raised
    assert Revision.objects.count() == revisions
    assert state(scope) == before
    versions.roll_back(scope=scope, space="notes", to=0, why="again")
    assert state(scope) == {}


def test_a_snapshot_has_a_name_once_and_can_be_forgotten(
    scope: Any, write: Callable[..., Any]
) -> None:
    write("k", "one")
    assert versions.take_snapshot(scope=scope, space="notes", name="v1").seq == 1
    with pytest.raises(Conflict):
        versions.take_snapshot(scope=scope, space="notes", name="v1")
    assert [s.name for s in selectors.list_snapshots(scope=scope, space="notes")] == ["v1"]
    versions.delete_snapshot(scope=scope, space="notes", name="v1")
    with pytest.raises(NotFound):
        versions.delete_snapshot(scope=scope, space="notes", name="v1")


def test_a_branch_shows_its_parent_until_it_is_written_to(
    scope: Any, write: Callable[..., Any]
) -> None:
    write("a", "apples are red")
    write("b", "birches are white")
    branch = versions.create_branch(scope=scope, space="notes", name="draft")
    assert (branch.parent, branch.base_seq, branch.entries, branch.chunks) == ("notes", 2, 2, 2)
    write("a", "apples are green")
    assert state(scope, "draft") == {"a": "apples are red", "b": "birches are white"}
    number = selectors.get_entry(scope=scope, space="draft", key="b").revision.number
    writing.write_entry(
        scope=scope, space="draft", key="b", content="birches fall", why="w", base_rev=number
    )
    writing.delete_entry(scope=scope, space="draft", key="a", why="w")
    assert state(scope, "draft") == {"b": "birches fall"}
    assert state(scope) == {"a": "apples are green", "b": "birches are white"}
    assert found(scope, "apples", spaces=["draft"]) == set()
    assert found(scope, "birches", spaces=["draft", "notes"]) == {"b"}
    assert state(scope, "draft", as_of=0) == {"a": "apples are red", "b": "birches are white"}
    history = selectors.list_revisions(scope=scope, space="draft", key="b")
    assert [revision.number for revision in history] == [2, 1]
    place = Space.objects.get(name="draft")
    assert (place.entry_count, place.chunk_count) == (1, 1)


def test_rolling_a_branch_back_shows_its_parent_again(
    scope: Any, write: Callable[..., Any]
) -> None:
    write("a", "apples")
    versions.create_branch(scope=scope, space="notes", name="draft")
    writing.write_entry(scope=scope, space="draft", key="a", content="pears", why="w")
    versions.roll_back(scope=scope, space="draft", to=0, why="no pears")
    assert state(scope, "draft") == {"a": "apples"}
    assert found(scope, "apples", spaces=["draft"]) == {"a"}


def test_a_merge_takes_what_one_side_changed_and_closes_the_branch(
    scope: Any, write: Callable[..., Any]
) -> None:
    for key in "abc":
        write(key, f"{key} one")
    versions.create_branch(scope=scope, space="notes", name="draft")
    writing.write_entry(
        scope=scope, space="draft", key="a", content="a two", why="w", metadata={"n": 2}
    )
    writing.write_entry(scope=scope, space="draft", key="new", content="brand new", why="w")
    writing.delete_entry(scope=scope, space="draft", key="b", why="w")
    write("c", "c two")
    merged = merging.merge_branch(scope=scope, space="notes", branch="draft", why="ready")
    assert state(scope) == {"a": "a two", "c": "c two", "new": "brand new"}
    assert [(c.key, c.kind) for c in merged.changes] == [
        ("a", ChangeKind.REVISE),
        ("b", ChangeKind.REMOVE),
        ("new", ChangeKind.ADD),
    ]
    assert found(scope, "brand", mode=SearchMode.LEXICAL) == {"new"}
    assert counts_are_right()
    assert misdescribed() == []
    with pytest.raises(Conflict, match="was merged"):
        writing.write_entry(scope=scope, space="draft", key="a", content="late", why="w")


def test_what_both_sides_changed_is_shown_and_nothing_is_merged_until_it_is_answered(
    scope: Any, write: Callable[..., Any]
) -> None:
    for key in "abc":
        write(key, f"{key} one")
    versions.create_branch(scope=scope, space="notes", name="draft")
    for key in "abc":
        writing.write_entry(scope=scope, space="draft", key=key, content=f"{key} theirs", why="w")
        write(key, f"{key} ours")
    before = state(scope)
    with pytest.raises(Conflict) as caught:
        merging.merge_branch(scope=scope, space="notes", branch="draft", why="ready")
    assert caught.value.extra["keys"] == ["a", "b", "c"]
    assert caught.value.extra["conflicts"][0] == {
        "key": "a",
        "base": "a one",
        "ours": "a ours",
        "theirs": "a theirs",
    }
    assert state(scope) == before
    merging.merge_branch(
        scope=scope,
        space="notes",
        branch="draft",
        why="ready",
        resolutions={
            "a": Resolution(side=Side.OURS),
            "b": Resolution(side=Side.THEIRS),
            "c": Resolution(content="c harmonised"),
        },
    )
    assert state(scope) == {"a": "a ours", "b": "b theirs", "c": "c harmonised"}
    assert found(scope, "harmonised", mode=SearchMode.LEXICAL) == {"c"}


def test_a_difference_has_both_sides_with_line_numbers(
    scope: Any, write: Callable[..., Any]
) -> None:
    lines = [f"line {n}" for n in range(1, 31)]
    write("k", "\n".join(lines))
    lines[4:5] = ["line five", "line five and a half"]
    del lines[25]
    write("k", "\n".join(lines))
    diff = selectors.get_diff(scope=scope, space="notes", key="k", before=1, after=2)
    assert (diff.added, diff.removed, len(diff.hunks)) == (2, 2, 2)
    first = diff.hunks[0]
    assert (first.old_start, first.old_lines, first.new_start, first.new_lines) == (2, 7, 2, 8)
    assert [(line.op, line.old, line.new) for line in first.lines[3:6]] == [
        ("removed", 5, None),
        ("added", None, 5),
        ("added", None, 6),
    ]
    assert "@@ -2,7 +2,8 @@\n line 2\n" in diff.unified
    assert "-line 5\n+line five\n+line five and a half\n" in diff.unified
    whole = selectors.get_diff(scope=scope, space="notes", key="k", before=0, after=1)
    assert (whole.before, whole.added, whole.hunks[0].old_start) == (None, 30, 0)
    with pytest.raises(NotFound):
        selectors.get_diff(scope=scope, space="notes", key="k", before=1, after=9)


def test_the_difference_of_large_texts_is_told_in_bounded_time(
    scope: Any, write: Callable[..., Any], embedder: Any
) -> None:
    from apps.context import history

    old = [f"{n}" for n in range(30_000)]
    new = [f"{n} changed" for n in range(30_000)]
    assert len(history._lines(old, new)) == 60_000
    assert [line.op for line in history._lines(old, [*old[:-1], "other"])][-2:] == [
        "removed",
        "added",
    ]
