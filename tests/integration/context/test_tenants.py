"""Two tenants with the same names and words: no answer, count, score or error tells of another."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from apps.context import selectors
from apps.context.services import packing, reading, searching, spaces, versions, writing
from apps.context.types import SearchMode
from octavo.kernel.errors import OctavoError
from tests.integration.context.word_vectors import point_embedding_at

SECRET = "zephyrine"
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
