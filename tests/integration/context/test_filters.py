"""A filter keeps what fits, refuses what it cannot compile, and never shows another space."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.context import filters, queries
from apps.context.services import searching, versions, writing
from apps.context.types import EntryKind, SearchMode
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput

MAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def filled(scope: Any, write: Callable[..., Any]) -> Any:
    write("docs/a", "wool one", metadata={"topic": "refunds", "n": 1, "tags": ["x", "y"]})
    write("docs/b", "wool two", metadata={"topic": "returns", "n": 2, "deep": {"er": True}})
    write("memo", "wool three", kind=EntryKind.FACT, trust="untrusted", metadata={"n": "2"})
    write("rule", "wool four", kind=EntryKind.DECISION, valid_from=MAY)
    return scope


def find(scope: Any, where: Any, mode: SearchMode = SearchMode.LEXICAL, **more: Any) -> set[str]:
    result = searching.search(
        scope=scope, query="wool", spaces=["notes"], mode=mode, where=where, limit=100, **more
    )
    return {hit.citation.key for hit in result.hits}


@pytest.fixture
def large_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every space is searched by indexes, as one of many chunks is."""
    monkeypatch.setattr(queries, "EXACT_ROWS", 0)


ALL = {"docs/a", "docs/b", "memo", "rule"}


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ({}, ALL),
        ({"topic": {"eq": "refunds"}}, {"docs/a"}),
        ({"topic": {"ne": "refunds"}}, ALL - {"docs/a"}),
        ({"topic": {"in": ["refunds", "returns"]}}, {"docs/a", "docs/b"}),
        ({"topic": {"exists": True}}, {"docs/a", "docs/b"}),
        ({"topic": {"exists": False}}, {"memo", "rule"}),
        ({"topic": {"text": "refund"}}, {"docs/a"}),
        ({"topic": {"prefix": "re"}}, {"docs/a", "docs/b"}),
        ({"n": {"eq": 2}}, {"docs/b"}),
        ({"n": {"eq": 2.0}}, {"docs/b"}),
        ({"n": {"eq": "2"}}, {"memo"}),
        ({"n": {"gte": 1, "lt": 2}}, {"docs/a"}),
        ({"n": {"range": {"gt": 1, "lte": 9}}}, {"docs/b"}),
        ({"tags": {"eq": "y"}}, {"docs/a"}),
        ({"tags": {"eq": ["x", "y"]}}, {"docs/a"}),
        ({"tags": {"eq": ["x"]}}, set()),
        ({"tags.0": {"eq": "x"}}, {"docs/a"}),
        ({"tags.-1": {"eq": "y"}}, {"docs/a"}),
        ({"tags": {"ne": "y"}}, ALL - {"docs/a"}),
        ({"tags.0": {"ne": "x"}}, ALL - {"docs/a"}),
        ({"deep.er": {"eq": True}}, {"docs/b"}),
        ({"deep": {"eq": {"er": True}}}, {"docs/b"}),
        ({"deep": {"eq": {}}}, set()),
        ({"topic": {"eq": None}}, set()),
        ({"metadata.topic": {"eq": "refunds"}}, {"docs/a"}),
        ({"kind": {"in": ["fact", "decision"]}}, {"memo", "rule"}),
        ({"key": {"prefix": "docs/"}}, {"docs/a", "docs/b"}),
        ({"trust": {"eq": "untrusted"}}, {"memo"}),
        ({"author": {"ne": "nobody"}}, ALL),
        ({"run": {"exists": True}}, set()),
        ({"run": {"eq": ids.encode(ids.Kind.RUN, ids.new())}}, set()),
        ({"created_at": {"gt": "2020-01-01T00:00:00Z"}}, ALL),
        ({"valid_from": {"exists": True}}, {"rule"}),
        ({"valid_at": {"eq": "2026-04-30T00:00:00Z"}}, ALL - {"rule"}),
        ({"valid_at": {"eq": "2026-05-02T00:00:00Z"}}, ALL),
        ({"or": [{"n": {"eq": 1}}, {"trust": {"eq": "untrusted"}}]}, {"docs/a", "memo"}),
        ({"and": [{"n": {"exists": True}}, {"not": {"n": {"eq": 1}}}]}, {"docs/b", "memo"}),
        ({"not": {"topic": {"eq": "refunds"}}}, ALL - {"docs/a"}),
        ({"not": {"topic": {"prefix": "ref"}}}, ALL - {"docs/a"}),
        ({"not": {"topic": {"text": "refund"}}}, ALL - {"docs/a"}),
        ({"not": {"n": {"gt": 1}}}, ALL - {"docs/b"}),
        ({"not": {"tags.0": {"eq": "x"}}}, ALL - {"docs/a"}),
        ({"not": {"valid_from": {"gt": "2026-01-01T00:00:00Z"}}}, ALL - {"rule"}),
    ],
)
def test_a_filter_keeps_what_fits(
    filled: Any, large_spaces: None, where: Any, keys: set[str]
) -> None:
    assert find(filled, where) == find(filled, where, SearchMode.HYBRID) == keys


@pytest.mark.parametrize("mode", list(SearchMode))
def test_every_mode_filters_the_present_and_the_past(
    filled: Any, write: Callable[..., Any], mode: SearchMode
) -> None:
    write("docs/a", "wool five", metadata={"topic": "shoes"})
    assert find(filled, {"topic": {"eq": "refunds"}}, mode) == set()
    assert find(filled, {"topic": {"eq": "refunds"}}, mode, as_of=4) == {"docs/a"}


@pytest.mark.parametrize("mode", list(SearchMode))
def test_a_filter_follows_metadata_that_change_while_the_text_stays(
    filled: Any, write: Callable[..., Any], mode: SearchMode
) -> None:
    def keys(topic: str, **more: Any) -> set[str]:
        return find(filled, {"topic": {"eq": topic}}, mode, **more)

    write("docs/a", "wool one", metadata={"topic": "shoes"})
    assert (keys("refunds"), keys("shoes")) == (set(), {"docs/a"})
    assert (keys("refunds", as_of=4), keys("shoes", as_of=4)) == ({"docs/a"}, set())
    versions.roll_back(scope=filled, space="notes", to=4, why="they were right")
    assert (keys("refunds"), keys("shoes")) == ({"docs/a"}, set())
    assert keys("shoes", as_of=5) == {"docs/a"}


@pytest.mark.parametrize("few", [0, 5000])
@pytest.mark.parametrize("mode", list(SearchMode))
@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ({"topic": {"exists": True}}, {"docs/a", "docs/b"}),
        ({"topic": {"exists": True}, "key": {"prefix": "docs/"}}, {"docs/a", "docs/b"}),
        ({"kind": {"eq": "fact"}}, {"memo"}),
        ({"topic": {"eq": "nothing"}}, set()),
        ({"kind": {"eq": "memory"}}, set()),
    ],
)
def test_a_large_space_is_filtered_alike_whether_few_or_many_pass(
    filled: Any,
    large_spaces: None,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
    mode: SearchMode,
    where: Any,
    keys: set[str],
) -> None:
    monkeypatch.setattr(queries, "FILTERED_ROWS", few)
    assert find(filled, where, mode) == keys


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/filter/topic", {"topic": "refunds"}),
        ("/filter/topic", {"topic": {}}),
        ("/filter/topic/like", {"topic": {"like": "x"}}),
        ("/filter/topic/in", {"topic": {"in": []}}),
        ("/filter/topic/exists", {"topic": {"exists": "yes"}}),
        ("/filter/n/gt", {"n": {"gt": None}}),
        ("/filter/n/range", {"n": {"range": {"above": 1}}}),
        ("/filter/kind/eq", {"kind": {"eq": 3}}),
        ("/filter/created_at/gt", {"created_at": {"gt": "yesterday"}}),
        ("/filter/run/eq", {"run": {"eq": "run_x"}}),
        ("/filter/or/1/topic/like", {"or": [{"n": {"eq": 1}}, {"topic": {"like": "x"}}]}),
        ("/filter/and", {"and": {}}),
        ("/filter/topic/eq", {"topic": {"eq": "a\x00"}}),
        ("/filter/topic/eq", {"topic": {"eq": "half \ud83d"}}),
    ],
)
def test_a_bad_filter_is_refused_with_its_path(path: str, where: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        filters.compile_filter(where)
    assert caught.value.errors[0]["path"] == path


def test_a_filter_is_bounded() -> None:
    deep: Any = {"n": {"eq": 1}}
    for _ in range(15):
        deep = {"not": deep}
    for where in (deep, {f"f{n}": {"eq": n} for n in range(101)}):
        with pytest.raises(InvalidInput):
            filters.compile_filter(where)


VALUES = (
    "refunds", "'; DROP TABLE chunk; --", "%s %(x)s", "{}", "\\", "🦄", "", 0, -1, 2**70, 1.5,
    1e300, True, None, [], ["a", 1], {"a": 1}, "2026-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00",
)  # fmt: skip
NAMES = (*filters.FIELDS, "topic", "n", "a.b.c", "metadata.x", "%(y)s", "'", "", "🦄", "{0}")


def _random_filter(rng: random.Random, depth: int = 0) -> Any:
    choice = rng.random()
    if depth < 3 and choice < 0.3:
        name = rng.choice(["and", "or", "not"])
        inner = [_random_filter(rng, depth + 1) for _ in range(rng.randrange(3))]
        return {name: inner if name != "not" else (inner or [{}])[0]}
    if choice < 0.35:
        return rng.choice(VALUES)
    operator = rng.choice((*filters.OPERATORS, "like"))
    value = rng.choice(VALUES)
    if operator == "range":
        value = {rng.choice(["gt", "lte", "x"]): value}
    if operator == "in":
        value = [value, rng.choice(VALUES)]
    return {rng.choice(NAMES): {operator: value}}


def test_no_filter_breaks_the_search(filled: Any) -> None:
    rng = random.Random(5)
    outcomes = [_outcome(filled, _random_filter(rng)) for _ in range(400)]
    answered = [keys for keys in outcomes if isinstance(keys, set)]
    assert len(answered) > 100
    assert all(keys <= ALL for keys in answered)
    refused = [errors for errors in outcomes if isinstance(errors, tuple)]
    assert all(errors[0]["path"].startswith("/filter") for errors in refused)


def test_the_index_of_metadata_finds_what_a_scan_finds(
    scope: Any, write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(7)
    values = ("x", "'{}%", 1, 1.0, True, None, ["x", 1], [["x"]], {"a": 1}, [{"a": 1}], [])

    def held(depth: int = 0) -> Any:
        names = rng.sample(["topic", "n", "a", "b"], k=rng.randrange(1, 4))
        inner = [held(depth + 1) if depth < 2 and rng.random() < 0.4 else None for _ in names]
        return {n: i or rng.choice(values) for n, i in zip(names, inner, strict=True)}

    def asked(depth: int = 0) -> Any:
        if depth < 2 and rng.random() < 0.3:
            inner = [asked(depth + 1) for _ in range(rng.randrange(1, 3))]
            name = rng.choice(["and", "or", "not"])
            return {name: inner if name != "not" else inner[0]}
        path = ".".join(rng.sample(["topic", "n", "a", "b", "0"], k=rng.choice([1, 1, 1, 2])))
        several = rng.random() < 0.3
        value = rng.choices(values, k=3) if several else rng.choice(values)
        return {path: {"in" if several else "eq": value}}

    for number in range(30):
        write(f"k{number}", f"wool {number}", metadata=held())
    found = 0
    for _ in range(150):
        where = asked() if rng.random() < 0.7 else {**asked(), **asked()}
        monkeypatch.setattr(queries, "EXACT_ROWS", 20_000)
        scanned = find(scope, where, SearchMode.DENSE)
        monkeypatch.setattr(queries, "EXACT_ROWS", 0)
        assert find(scope, where, SearchMode.DENSE) == scanned, where
        found += bool(scanned)
    assert found > 25


def _outcome(scope: Any, where: Any) -> Any:
    try:
        return find(scope, where if isinstance(where, dict) else {"x": where})
    except InvalidInput as refused:
        return refused.errors


def test_an_expired_entry_is_forgotten_by_the_duty(scope: Any, write: Callable[..., Any]) -> None:
    from apps.context import selectors
    from octavo.kernel.clock import now

    write("stale", "soon gone", expires_at=now() - timedelta(seconds=1))
    write("fresh", "here to stay", expires_at=now() + timedelta(days=1))
    assert writing.forget_expired() == 1
    assert writing.forget_expired() == 0
    assert [e.key for e in selectors.list_entries(scope=scope, space="notes")] == ["fresh"]
    newest = selectors.list_revisions(scope=scope, space="notes", key="stale")[0]
    assert (newest.operation, newest.author_kind) == ("delete", "system")
