"""The search of a space's page: one leg, all of them side by side, filters as they are typed."""

from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from tests.integration.console.test_history_pages import notes, text_of
from tests.integration.context.conftest import embedder, word_vectors

__all__ = ["embedder", "notes", "word_vectors"]


def page_of(admin: Client, status: int = 200, **asked: str) -> str:
    return text_of(admin.get(f"/context/notes?{urlencode(asked)}"), status)


def test_legs_stand_side_by_side(admin: Client, notes: Any) -> None:
    html = page_of(admin, q="coffee bar", mode="side by side")
    for leg in ("hybrid", "dense", "lexical"):
        assert f'<th scope="col" class="num">{leg}</th>' in html
    row = html[html.index("entry/coffee.md") :].partition("</tr>")[0]
    assert row.count("<b>1</b>") == 3
    then = page_of(admin, q="coffee bar", mode="side by side", as_of="1")
    assert "entry/tea.md" in then
    assert "entry/coffee.md" not in then
    none = page_of(admin, q="tea", mode="side by side", where='{"a": {"eq": 1}}')
    assert "No leg finds anything" in none


def test_a_filter_is_typed_as_for_the_api(admin: Client, notes: Any) -> None:
    from apps.context.services import writing

    writing.write_entry(
        scope=notes,
        space="notes",
        key="milk.md",
        content="The milk bar opens at nine.",
        why="New.",
        metadata={"place": "cellar"},
    )
    found = page_of(admin, q="opens", where='{"place": {"eq": "cellar"}}')
    assert "entry/milk.md?revision" in found
    assert "entry/tea.md?revision" not in found
    assert "&quot;cellar&quot;" in found


@pytest.mark.parametrize(
    ("where", "said"),
    [("{", "not JSON"), ("[]", "not a JSON object"), ('{"a": {"like": 1}}', "like")],
)
def test_a_filter_that_cannot_be_read_is_told(
    admin: Client, notes: Any, where: str, said: str
) -> None:
    for mode in ("hybrid", "side by side"):
        html = page_of(admin, q="opens", mode=mode, where=where)
        assert said in html.partition('role="alert">')[2].partition("</p>")[0]
        assert "tea.md" in html
