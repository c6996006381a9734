"""Search: what is found, by whom, with which citation; nothing that may not be read."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts import services as accounts
from apps.accounts.types import Role
from apps.context import lexicon, selectors
from apps.context.models import LexiconTerm, ReadLog, Revision
from apps.context.services import reading, searching, spaces, writing
from apps.context.types import SearchMode, SpaceKind
from octavo.kernel import ids
from octavo.kernel.errors import Forbidden, InvalidInput, NotFound
from tests.integration.context.word_vectors import add_reranker, point_embedding_at

LIGHTHOUSE = "The lighthouse keeper lights the lamp at dusk."
BAKERY = "The bakery sells rye bread on Mondays."


@pytest.fixture
def filled(scope: Any, write: Callable[..., Any]) -> Any:
    write("coast.md", f"# Coast\n\n{LIGHTHOUSE}\n")
    write("town.md", f"# Town\n\n{BAKERY}\n")
    return scope


def find(scope: Any, query: str, **more: Any) -> list[str]:
    found = searching.search(scope=scope, query=query, **({"spaces": ["notes"]} | more))
    return [hit.citation.key for hit in found.hits]


@pytest.mark.parametrize("mode", [SearchMode.HYBRID, SearchMode.DENSE, SearchMode.LEXICAL])
def test_the_best_passage_comes_first(filled: Any, mode: SearchMode) -> None:
    assert find(filled, "who lights the lamp of the lighthouse", mode=mode)[0] == "coast.md"
    assert find(filled, "rye bread on Mondays", mode=mode)[0] == "town.md"


def test_words_are_found_in_their_other_forms(filled: Any) -> None:
    assert find(filled, "selling breads", mode=SearchMode.LEXICAL) == ["town.md"]


def test_a_turn_of_a_dialogue_is_found_by_its_neighbours_words_and_its_own_meaning(
    scope: Any, embedder: Any
) -> None:
    spaces.create_space(scope=scope, name="talks", kind=SpaceKind.DIALOGUE)
    turns = ["Ann: Which harbour did you see?", "Bob: Lisbon, last spring.", "Ann: Splendid."]
    writing.write_entry(scope=scope, space="talks", key="1", content="\n".join(turns), why="w")
    assert embedder.texts == turns
    for mode, query, found in (
        (SearchMode.LEXICAL, "harbour", turns[:2]),
        (SearchMode.LEXICAL, "splendid", turns[1:]),
        (SearchMode.DENSE, turns[1], turns[1:2]),
    ):
        hits = searching.search(
            scope=scope, query=query, spaces=["talks"], mode=mode, limit=len(found)
        ).hits
        assert {hit.text for hit in hits} == set(found)


def test_exact_search_finds_a_substring_whatever_its_case(filled: Any) -> None:
    assert find(filled, "KEEPER LIGHTS", mode=SearchMode.EXACT) == ["coast.md"]
    assert find(filled, "100%_", mode=SearchMode.EXACT) == []


@pytest.mark.parametrize("at_once", [False, True])
def test_a_text_cut_by_the_edge_of_a_chunk_is_found(
    scope: Any, write: Callable[..., Any], *, at_once: bool
) -> None:
    filler = "All quiet on the pier today. " * 26
    text = "".join(f"{filler}ERR_{n:04}_TIDE the gate is shut. " for n in range(12))
    seq = write("log.txt", text).revision.seq
    if not at_once:
        write("log.txt", "Gone.")
    starts = Revision.objects.order_by("seq").values_list("starts", flat=True)[0]
    cut = [text[start - 9 : start + 9] for start in starts[1:]]
    assert len(cut) > 5
    for wanted in (*cut, "ERR_0007_TIDE the gate"):
        found = searching.search(
            scope=scope,
            query=wanted.strip(),
            spaces=["notes"],
            mode=SearchMode.EXACT,
            as_of=None if at_once else seq,
        )
        assert found.hits
        for hit in found.hits:
            assert wanted.strip() in hit.text
            assert text[hit.citation.start : hit.citation.end] == hit.text
    if at_once:
        for wanted in cut:
            lines = reading.grep(scope=scope, spaces=["notes"], text=wanted)
            assert [line.key for line in lines] == ["log.txt"]


def test_a_citation_names_the_very_characters(filled: Any) -> None:
    result = searching.search(scope=filled, query="lighthouse", spaces=["notes"])
    for hit in result.hits:
        place = hit.citation
        text = selectors.get_entry(scope=filled, space=place.space, key=place.key).text
        assert text[place.start : place.end] == hit.text
        assert 0 <= hit.score <= 1
    assert result.as_of == {"notes": 2}


def test_a_replaced_text_is_found_no_more(filled: Any, write: Callable[..., Any]) -> None:
    write("coast.md", "The harbour is closed.")
    assert find(filled, "lighthouse", mode=SearchMode.LEXICAL) == []
    assert find(filled, "harbour", mode=SearchMode.LEXICAL) == ["coast.md"]


def test_a_citation_names_the_new_revision_where_a_chunk_has_lived_on(
    scope: Any, write: Callable[..., Any]
) -> None:
    tail = "\n\n## Second\n\n" + "Nothing about boats here. " * 30 + "The zeppelin lands."
    write("k.md", "# First\n\n" + "Short. " * 90 + tail)
    write("k.md", "# First\n\n" + "Rather longer. " * 90 + tail)
    (hit, *_) = searching.search(
        scope=scope, query="zeppelin", spaces=["notes"], mode=SearchMode.LEXICAL
    ).hits
    text = selectors.get_entry(scope=scope, space="notes", key="k.md").text
    assert hit.citation.revision == 2
    assert text[hit.citation.start : hit.citation.end] == hit.text


@pytest.mark.parametrize("kind", list(SpaceKind))
def test_every_kind_of_space_can_be_searched(scope: Any, kind: SpaceKind) -> None:
    spaces.create_space(scope=scope, name="other", kind=kind)
    writing.write_entry(
        scope=scope,
        space="other",
        key="a.py",
        content="def parseHttpHeader(raw_line):\n    return raw_line.split()\n",
        why="test",
    )
    assert find(scope, "parse http header raw_line", spaces=["other"]) == ["a.py"]


@pytest.mark.parametrize(
    "query", ["os.path.join", "joining", "readTimeouts", "timeout", "file", "file_name", "2.7.1"]
)
def test_names_in_prose_are_found_whole_and_by_their_words(
    filled: Any, write: Callable[..., Any], query: str
) -> None:
    write(
        "names.md", "Call os.path.join with file_name before the readTimeout of 2.7.1 has passed."
    )
    assert find(filled, query, mode=SearchMode.LEXICAL) == ["names.md"]


def test_identifiers_are_taken_apart_in_a_space_of_code(scope: Any) -> None:
    spaces.create_space(scope=scope, name="code", kind=SpaceKind.CODE)
    writing.write_entry(
        scope=scope, space="code", key="a.py", content="def parseHttpHeader(x): ...", why="test"
    )
    assert find(scope, "header", spaces=["code"], mode=SearchMode.LEXICAL) == ["a.py"]


def test_spaces_of_different_kinds_are_searched_together(filled: Any) -> None:
    spaces.create_space(scope=filled, name="code", kind=SpaceKind.CODE)
    writing.write_entry(
        scope=filled, space="code", key="lamp.py", content="def light_lamp(): ...", why="test"
    )
    assert set(find(filled, "light lamp", spaces=["notes", "code"])) >= {"coast.md", "lamp.py"}


@pytest.mark.parametrize(
    "query",
    ["' OR 1=1 --", "🦄", "日本語", "a & b | !c:*", "%s %(x)s", "\\", "the of and", "{1:2}/3"],
)
def test_any_text_is_a_question(filled: Any, query: str) -> None:
    for mode in SearchMode:
        find(filled, query, mode=mode)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/query", {"query": " "}),
        ("/query", {"query": "a\x00"}),
        ("/query", {"query": "x" * 4001}),
        ("/spaces", {"spaces": []}),
        ("/k", {"limit": 0}),
        ("/k", {"limit": 101}),
    ],
)
def test_a_search_that_cannot_be_made_is_refused_with_its_field(
    filled: Any, path: str, values: dict[str, Any]
) -> None:
    arguments = {"query": "q", "spaces": ["notes"]} | values
    with pytest.raises(InvalidInput) as caught:
        searching.search(scope=filled, **arguments)
    assert caught.value.errors[0]["path"] == path


def test_an_empty_space_answers_without_a_model(scope: Any, space: str, embedder: Any) -> None:
    embedder.is_down = True
    assert searching.search(scope=scope, query="q", spaces=[space]).hits == ()
    assert searching.quote(scope=scope, query="q", spaces=[space]) == ()


def test_a_space_that_is_not_there_and_one_that_is_not_for_me_look_the_same(filled: Any) -> None:
    outsider = filled.acting_as(_agent())
    with pytest.raises(NotFound) as unknown:
        find(outsider, "q", spaces=["nowhere"])
    with pytest.raises(NotFound) as forbidden:
        find(outsider, "q")
    assert str(unknown.value) == str(forbidden.value).replace("notes", "nowhere")
    with pytest.raises(NotFound):
        writing.write_entry(scope=outsider, space="notes", key="k", content="c", why="w")
    assert selectors.list_spaces(scope=outsider) == []


def _agent() -> Any:
    from octavo.kernel.scope import Principal, PrincipalKind

    return Principal(kind=PrincipalKind.AGENT, id=ids.new(), name="nobody")


def test_a_viewer_reads_and_searches_but_does_not_write(filled: Any) -> None:
    viewer = filled.acting_as(
        accounts.create_service(scope=filled, name="reader", role=Role.VIEWER)
    )
    assert find(viewer, "lighthouse")[0] == "coast.md"
    with pytest.raises(Forbidden):
        writing.write_entry(scope=viewer, space="notes", key="k", content="c", why="w")


def test_what_a_run_was_shown_is_logged(filled: Any) -> None:
    run = filled.acting_as(filled.principal, run_id=ids.new())
    hits = searching.search(scope=run, query="lamp", spaces=["notes"], step="s1").hits
    rows = list(ReadLog.objects.order_by("rank"))
    assert [(row.chunk_id, row.revision, row.step) for row in rows] == [
        (hit.chunk_id, hit.citation.revision, "s1") for hit in hits
    ]
    find(filled, "lamp")
    assert ReadLog.objects.count() == len(rows)


def test_frequent_words_weigh_less_than_rare_ones(scope: Any, write: Callable[..., Any]) -> None:
    for n in range(12):
        write(f"{n}", f"common words all over number{n}")
    write("rare", "common walrus")
    assert LexiconTerm.objects.exists()
    assert find(scope, "common number7 walrus", mode=SearchMode.LEXICAL)[:2] in (
        ["7", "rare"],
        ["rare", "7"],
    )


def test_the_index_finds_what_an_exact_scan_finds(
    filled: Any, write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.context import queries

    for n in range(150):
        write(f"{n}", f"filler text number {n} about subject{n % 7}")
    exact = find(filled, "who lights the lamp")
    monkeypatch.setattr(queries, "EXACT_ROWS", 0)
    assert find(filled, "who lights the lamp")[0] == exact[0]


def test_another_embedding_model_is_served_by_words_until_the_space_is_embedded_again(
    filled: Any, embedder: Any
) -> None:
    point_embedding_at(filled, url=embedder.url, name="other-words")
    assert find(filled, "lamp", mode=SearchMode.DENSE) == []
    assert find(filled, "lamp")[0] == "coast.md"
    assert writing.reembed_space(scope=filled, space="notes") == 2
    assert find(filled, "lamp", mode=SearchMode.DENSE)[0] == "coast.md"
    assert writing.reembed_space(scope=filled, space="notes") == 0


def test_term_counts_follow_the_space(filled: Any, write: Callable[..., Any]) -> None:
    from apps.context.models import Lexicon

    write("again", f"# Coast\n\n{LIGHTHOUSE} {BAKERY}")
    lexicon.count_terms(space_id=Lexicon.objects.get().space_id)
    assert Lexicon.objects.get().chunks == 3
    assert LexiconTerm.objects.filter(df=2).exists()


def test_a_reranker_has_the_last_word_and_its_absence_is_told(
    scope: Any, write: Callable[..., Any], embedder: Any
) -> None:
    write("one", "The tide turns at noon, says the almanac of the harbour.")
    write("many", "Tide, tide and tide again.")
    add_reranker(scope, url=embedder.url, name="judge")

    def ask() -> Any:
        return searching.search(
            scope=scope, query="tide at noon", spaces=["notes"], rerank="judge", limit=1
        )

    (hit,) = ask().hits
    assert hit.citation.key == "many"
    assert set(hit.legs) == {"dense", "lexical", "rerank"}
    assert 0 < hit.score < 1
    embedder.is_down = True
    found = ask()
    assert found.degraded == ("dense", "rerank")
    assert found.hits
    with pytest.raises(NotFound):
        searching.search(scope=scope, query="tide", spaces=["notes"], rerank="nowhere")
