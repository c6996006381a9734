"""A pack keeps its budget, repeats nothing, cites each passage verbatim, and is always the same."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.context import chunking, selectors
from apps.context.services import packing, searching
from apps.context.types import DropReason
from octavo.kernel.errors import InvalidInput


def paragraph(n: int) -> str:
    return (
        f"The lamp number {n} of the lighthouse is lit at dusk by keeper{n}. "
        f"It burns oil from barrel{n} all night. Its lens was ground in town{n}. "
    ) * 3


@pytest.fixture
def filled(scope: Any, write: Callable[..., Any]) -> Any:
    for n in range(8):
        write(f"lamps/{n}", paragraph(n))
    write("copy", paragraph(3))
    write("long", "\n\n".join(f"{paragraph(n)} Once more lamp." for n in range(20, 30)))
    return scope


def pack(scope: Any, budget: int, query: str = "who lights the lamp of the lighthouse") -> Any:
    return packing.pack(scope=scope, query=query, spaces=["notes"], budget=budget)


@pytest.mark.parametrize("budget", [60, 200, 500, 2000])
def test_a_pack_keeps_its_budget_and_cites_verbatim(filled: Any, budget: int) -> None:
    packed = pack(filled, budget)
    assert 0 < packed.tokens <= budget
    assert chunking.count_tokens(packed.text) == packed.tokens
    for passage in packed.citations:
        place = passage.citation
        text = selectors.get_entry(scope=filled, space=place.space, key=place.key).text
        header = f"[{passage.number}] notes/{place.key}, revision {place.revision}\n"
        assert header + text[place.start : place.end] in packed.text
    assert packed == pack(filled, budget)


def test_nothing_is_said_twice_and_what_is_left_out_is_named(filled: Any) -> None:
    packed = pack(filled, 500)
    assert packed.text.count("barrel3") in {0, 3}
    reasons = {left.reason for left in packed.dropped}
    assert DropReason.DUPLICATE in reasons
    assert {DropReason.BUDGET, DropReason.ENTRY_CAP, DropReason.WEAK} & reasons
    used = {passage.citation.chunk for passage in packed.citations}
    assert used


def test_the_order_is_that_of_the_sources(filled: Any) -> None:
    places = [(p.citation.key, p.citation.start) for p in pack(filled, 1500).citations]
    assert places == sorted(places)


def test_one_entry_does_not_take_all(filled: Any) -> None:
    packed = pack(filled, 600)
    assert len({passage.citation.key for passage in packed.citations}) > 1


def test_a_pack_is_made_of_words_alone_while_no_model_answers(filled: Any, embedder: Any) -> None:
    embedder.is_down = True
    packed = pack(filled, 300)
    assert packed.degraded == ("dense",)
    assert packed.citations
    assert searching.search(scope=filled, query="lamp", spaces=["notes"]).degraded == ("dense",)


@pytest.mark.parametrize("budget", [0, 49, 100_001])
def test_a_budget_has_bounds(scope: Any, space: str, budget: int) -> None:
    with pytest.raises(InvalidInput):
        pack(scope, budget)


def test_an_empty_space_makes_an_empty_pack(scope: Any, space: str) -> None:
    packed = pack(scope, 100)
    assert (packed.text, packed.citations, packed.tokens) == ("", (), 0)
