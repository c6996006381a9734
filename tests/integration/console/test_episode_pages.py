"""A run and the episode that it leaves lead to each other."""

from typing import Any

from django.test import Client

from octavo.kernel import ids
from tests import runs
from tests.integration.context.conftest import embedder, word_vectors
from tests.integration.context.word_vectors import WordVectors, point_embedding_at
from tests.runs import Bench

__all__ = ["embedder", "word_vectors"]

OVEN = "The oven is lit at four in the morning."


def text_of(answer: Any) -> str:
    html: str = answer.content.decode()
    assert answer.status_code == 200, html[:2000]
    return html


def test_a_run_and_its_episode_lead_to_each_other(
    admin: Client, bench: Bench, embedder: WordVectors
) -> None:
    from apps.agents.types import Access, SpaceGrant, Strategy
    from apps.context.services import spaces, writing
    from apps.orchestration.services import remembering, starting

    scope = bench.scope
    point_embedding_at(scope, url=embedder.url, name="words")
    for name in ("bakery", "diary"):
        spaces.create_space(scope=scope, name=name)
    writing.write_entry(scope=scope, space="bakery", key="oven.md", content=OVEN, why="Known.")
    grants = (SpaceGrant(space="bakery"), SpaceGrant(space="diary", access=Access.WRITE))
    runs.save(scope, strategy=Strategy.QUOTE, spaces=grants, remember="diary")
    asked = "When is the oven lit in the morning?"
    run = starting.start_run(scope=scope, agent="worker-bee", input=asked)
    runs.advance(scope, run.id)
    page = f"/runs/{ids.encode(ids.Kind.RUN, run.id)}"
    episode = f"/context/diary/entry/episodes/{page.rpartition('/')[2]}"
    assert episode not in text_of(admin.get(page))  # not written yet

    assert remembering.record_due() == 1
    assert f'href="{episode}"' in text_of(admin.get(page))
    told = text_of(admin.get(episode))
    assert f'href="{page}?step=episode"' in told
    assert 'href="/context/bakery/entry/oven.md?revision=1"' in told
    assert OVEN in told
