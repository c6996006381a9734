"""Two tenants with the same names and words: no answer, count, score or error tells of another."""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.context import selectors
from apps.context.filters import OPERATORS
from apps.context.services import packing, reading, searching, spaces, versions, writing
from apps.context.types import SearchMode
from octavo.kernel.errors import OctavoError
from tests.integration.context.word_vectors import point_embedding_at

SECRET = "zephyrine"
EXAMPLES = int(os.environ.get("OCTAVO_TEST_EXAMPLES", "25"))
COMMON = "harbour lamp keeper dusk bakery"


@pytest.fixture
def neighbours(scope: Any, write: Callable[..., Any], embedder: Any) -> tuple[Any, Any]:
    """The installation, and another organisation with a space and entries of the same names; what
    it says alone is `SECRET`.
    """
    from apps.accounts.models import Organisation, Project, Team

    organisation = Organisation.objects.create(name="other", slug="other")
    team = Team.objects.create(organisation=organisation, name="other")
    project = Project.objects.create(team=team, name="other")
    other = replace(scope, organisation_id=organisation.id, team_id=team.id, project_id=project.id)
    write("shared", COMMON)
    point_embedding_at(other, url=embedder.url, name="words")
    for name in ("notes", "hidden"):
        spaces.create_space(scope=other, name=name)
        for n in range(4):
            writing.write_entry(
                scope=other, space=name, key=f"{SECRET}-{n}", content=f"{SECRET} {COMMON}", why="w"
            )
    versions.take_snapshot(scope=other, space="notes", name=f"{SECRET}-snapshot")
    versions.create_branch(scope=other, space="notes", name=f"{SECRET}-branch")
    return scope, other


def attempts(rng: random.Random, scope: Any) -> Callable[[], Any]:
    """One random question of the first tenant about what the second has."""
    query = rng.choice([SECRET, COMMON, f"{SECRET} lamp", "dusk"])
    space = rng.choice(["notes", "hidden", f"{SECRET}-branch"])
    key = rng.choice(["shared", f"{SECRET}-1"])
    where = rng.choice([None, {"key": {"prefix": SECRET}}, {"not": {"key": {"eq": "shared"}}}])
    number = rng.randrange(5)
    choices: list[Callable[[], Any]] = [
        lambda: searching.search(
            scope=scope,
            query=query,
            spaces=[space],
            mode=rng.choice(list(SearchMode)),
            where=where,
            as_of=rng.choice([None, number]),
        ),
        lambda: packing.pack(scope=scope, query=query, spaces=[space], budget=500),
        lambda: searching.quote(scope=scope, query=query, spaces=[space]),
        lambda: reading.grep(scope=scope, spaces=[space], text=SECRET),
        lambda: selectors.get_entry(scope=scope, space=space, key=key, as_of=number),
        lambda: selectors.get_diff(scope=scope, space=space, key=key, before=None, after=None),
        lambda: selectors.list_entries(scope=scope, space=space, as_of=number),
        lambda: selectors.list_readings(scope=scope, space=space, key=key),
        lambda: selectors.get_space(scope=scope, name=space),
        lambda: selectors.list_spaces(scope=scope),
        lambda: selectors.list_branches(scope=scope, space=space),
        lambda: versions.preview_rollback(
            scope=scope, space=space, to=rng.choice([number, "no-snapshot"])
        ),
    ]
    return rng.choice(choices)


def test_nothing_of_another_tenant_is_told(neighbours: tuple[Any, Any]) -> None:
    first, _ = neighbours
    rng = random.Random(11)
    outcomes = [_outcome(attempts(rng, first)) for _ in range(300)]
    assert [told for told, _ in outcomes if SECRET in told] == []
    assert [status for _, status in outcomes if status >= 500] == []
    assert sum(status == 200 for _, status in outcomes) > 50


def _outcome(attempt: Callable[[], Any]) -> tuple[str, int]:
    """What was told, but for the names that were asked for, and the status of a refusal."""
    try:
        return repr(attempt()), 200
    except OctavoError as refused:
        told = str(refused)
        for name in (f"{SECRET}-branch", f"{SECRET}-1"):
            told = told.replace(repr(name), "")
        return told, refused.status


def test_scores_are_the_same_whatever_another_tenant_holds(neighbours: tuple[Any, Any]) -> None:
    first, other = neighbours

    def scores() -> list[float]:
        found = searching.search(scope=first, query=COMMON, spaces=["notes"])
        return [hit.score for hit in found.hits]

    before = scores()
    for n in range(30):
        writing.write_entry(
            scope=other, space="notes", key=f"more-{n}", content=f"{COMMON} {n}", why="w"
        )
    assert scores() == before


FIELDS = ("topic", "metadata.n", "key", "kind", "created_at", "valid_at", "run", "author", "trust")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from([f"{SECRET}-1", "2026-01-01", "notes", "0", "run_x"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
COMPARED = st.dictionaries(st.sampled_from([*OPERATORS, "like"]), VALUES, max_size=3)
FILTERS = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=6), COMPARED, max_size=3),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.dictionaries(st.sampled_from(["and", "or"]), st.lists(inner, max_size=3)),
    ),
    max_leaves=4,
)
ASKED = st.sampled_from(["notes", "hidden", f"{SECRET}-branch"])
BODIES = st.fixed_dictionaries(
    {
        "query": st.sampled_from([SECRET, COMMON, "lamp"]) | st.text(max_size=20),
        "spaces": st.lists(ASKED, min_size=1, max_size=2),
    },
    optional={
        "mode": st.sampled_from([str(mode) for mode in SearchMode]),
        "k": st.integers(0, 200),
        "filter": FILTERS,
        "as_of": SCALARS,
        "rerank": st.sampled_from(["none", "elsewhere"]),
    },
)
PLACES = st.sampled_from(
    [
        "entries?prefix=z",
        "entries/shared",
        f"entries/{SECRET}-1",
        f"entries/{SECRET}-1/history",
        f"entries/{SECRET}-1/diff?from=0&to=1",
        f"entries/{SECRET}-1/used-by",
        "snapshots",
        "branches",
        "flags",
        "memory?agent=x",
        f"merge?branch={SECRET}-branch",
        "export",
    ]
)


def test_no_request_over_rest_tells_of_another_tenant_or_breaks(
    neighbours: tuple[Any, Any], installation: Any
) -> None:
    client = Client(raise_request_exception=False)
    headers = {"Authorization": f"Bearer {installation.issued_key.secret}", "Host": "localhost"}
    asked: list[int] = []

    def check(answer: Any) -> None:
        sent = b"".join(answer) if answer.streaming else answer.content
        told = sent.decode(errors="replace")
        answer.close()
        for name in (f"{SECRET}-branch", f"{SECRET}-1"):  # what was asked for
            told = told.replace(name, "")
        asked.append(answer.status_code)
        assert answer.status_code < 500, told
        assert SECRET not in told

    def post(path: str, body: Any) -> Any:
        data = orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
        return client.generic("POST", path, data, "application/json", headers=headers)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(body=BODIES, space=ASKED, place=PLACES, to=SCALARS)
    def ask(body: Any, space: str, place: str, to: Any) -> None:
        with suppress(TypeError):  # an integer that JSON cannot hold
            check(post("/api/v1/context/search", body))
            check(post(f"/api/v1/spaces/{space}/rollback?preview=true", {"to": to, "why": "w"}))
        check(client.get(f"/api/v1/spaces/{space}/{place}", headers=headers))

    ask()
    assert asked.count(200) > EXAMPLES // 5
