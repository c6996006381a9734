"""Runs that rest on sources: quotes, citations, recall, and an embedder that goes away."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from apps.agents.types import Access, SpaceGrant, Strategy
from apps.orchestration import selectors
from apps.orchestration.services import upkeep
from apps.orchestration.types.runs import EventType, RunStatus
from tests import runs
from tests.integration.context.word_vectors import WordVectors, point_embedding_at
from tests.runs import Bench

TEXT = """# Bakery

The oven is lit at four in the morning.

Bread is delivered by bicycle to every street.
"""
SPACES = (SpaceGrant(space="bakery"),)


@pytest.fixture
def embedder(bench: Bench) -> Iterator[WordVectors]:
    from apps.context.services import spaces, writing

    server = WordVectors()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    point_embedding_at(bench.scope, url=server.url, name="words")
    spaces.create_space(scope=bench.scope, name="bakery")
    writing.write_entry(
        scope=bench.scope, space="bakery", key="oven.md", content=TEXT, why="for the test"
    )
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_quote_run_answers_verbatim_with_citations(bench: Bench, embedder: WordVectors) -> None:
    runs.save(bench.scope, strategy=Strategy.QUOTE, spaces=SPACES)
    run = runs.starting.start_run(
        scope=bench.scope, agent="worker-bee", input="When is the oven lit in the morning?"
    )
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert done.output is not None
    assert "The oven is lit at four in the morning." in done.output["text"]
    cited = done.output["citations"][0]
    assert (cited["space"], cited["key"], cited["revision"]) == ("bakery", "oven.md", 1)
    assert TEXT[cited["start"] : cited["end"]] in done.output["text"]
    retrieved = runs.events(bench.scope, run.id)[1]
    assert retrieved.type is EventType.CONTEXT_RETRIEVED
    assert retrieved.data["sources"][0]["citation"] == cited
    assert bench.chat.requests == []


@pytest.mark.parametrize("trust", ["trusted", "untrusted"])
def test_quotes_carry_the_trust_of_the_revision_they_stand_in(
    bench: Bench, embedder: WordVectors, trust: str
) -> None:
    from apps.context.services import writing

    writing.write_entry(
        scope=bench.scope, space="bakery", key="oven.md", content=TEXT, why="again", trust=trust
    )
    runs.save(bench.scope, strategy=Strategy.QUOTE, spaces=SPACES)
    run = runs.starting.start_run(
        scope=bench.scope, agent="worker-bee", input="When is the oven lit in the morning?"
    )
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    retrieved = runs.events(bench.scope, run.id)[1]
    assert {source["trust"] for source in retrieved.data["sources"]} == {trust}


READS = """
SELECT run_id, step, resource_name, outcome FROM decision
WHERE action = 'context.read' AND run_id IS NOT NULL
"""


def test_each_space_that_a_run_reads_leaves_a_decision(bench: Bench, embedder: WordVectors) -> None:
    from apps.context.services import searching

    before = bench.rows("SELECT count(*) FROM decision WHERE action = 'context.read'")
    searching.search(scope=bench.scope, query="the oven", spaces=["bakery"])
    after = bench.rows("SELECT count(*) FROM decision WHERE action = 'context.read'")
    assert after == before  # a person's search is no step of a run

    runs.save(bench.scope, strategy=Strategy.QUOTE, spaces=SPACES)
    run = runs.starting.start_run(
        scope=bench.scope, agent="worker-bee", input="When is the oven lit in the morning?"
    )
    done = runs.advance(bench.scope, run.id)
    retrieved = runs.events(bench.scope, run.id)[1]
    assert bench.rows(READS) == [(run.id, retrieved.step, "bakery", "allow")]
    spans = selectors.get_trace(scope=bench.scope, trace_id=done.trace_id)[1]
    shown = [span for span in spans if span.kind == "context"]
    asked = [decision["action"] for decision in shown[0].attributes["octavo.decisions"]]
    assert "context.read" in asked


def test_a_quote_run_says_when_the_sources_do_not_answer(
    bench: Bench, embedder: WordVectors
) -> None:
    runs.save(bench.scope, strategy=Strategy.QUOTE, spaces=SPACES)
    run = runs.starting.start_run(
        scope=bench.scope, agent="worker-bee", input="Which galaxy rotates clockwise?"
    )
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED
    assert done.output is not None
    assert done.output["text"].startswith("The sources do not answer this. Searched: bakery.")
    assert done.output["citations"] == []


def test_a_run_survives_an_embedder_that_is_away_for_a_while(
    bench: Bench, embedder: WordVectors
) -> None:
    runs.save(bench.scope, strategy=Strategy.QUOTE, spaces=SPACES)
    embedder.is_down = True
    run = runs.starting.start_run(
        scope=bench.scope, agent="worker-bee", input="When is the oven lit?"
    )
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.status is RunStatus.WAITING
    assert runs.types(bench.scope, run.id) == [EventType.RUN_STARTED, EventType.MODEL_FAILED]

    embedder.is_down = False
    bench.rows("UPDATE timer SET fire_at = now() - interval '1 s' RETURNING id")
    bench.rows("UPDATE event SET at = at - interval '1 min' WHERE seq = 2 RETURNING seq")
    upkeep.fire_timers()
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED


def test_a_tools_run_recalls_first_and_cites_what_it_names(
    bench: Bench, embedder: WordVectors
) -> None:
    runs.save(bench.scope, spaces=SPACES, tools=("context_search",))
    search: list[Any] = ["context_search", {"query": "bread by bicycle", "spaces": ["bakery"]}]
    script: dict[str, Any] = {"calls": [search], "answer": "At four, see [1] and bakery/oven.md."}
    bench.chat.script = script
    run = runs.starting.start_run(
        scope=bench.scope, agent="worker-bee", input="When is the oven lit?"
    )
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert done.output is not None
    assert {found["key"] for found in done.output["citations"]} == {"oven.md"}
    user = bench.chat.requests[0]["messages"][1]["content"]
    assert "[1] bakery/oven.md" in user
    assert user.endswith("When is the oven lit?")
    answered = [e for e in runs.events(bench.scope, run.id) if e.type is EventType.TOOL_ANSWERED]
    assert not answered[0].data["is_error"], answered[0].data
    assert "bicycle" in answered[0].data["message"]["content"]


def test_memory_blocks_are_in_every_prompt_and_outlast_the_run(
    bench: Bench, embedder: WordVectors
) -> None:
    from apps.context.services import remembering

    spaces = (SpaceGrant(space="bakery", access=Access.WRITE),)
    runs.save(bench.scope, spaces=spaces, tools=("memory_*",))
    remembering.write_block(
        scope=bench.scope, space="bakery", name="habits", text="Opens at seven.", why="seen"
    )
    learned = {"space": "bakery", "block": "habits", "text": "Closed on Mondays.", "why": "told"}
    bench.chat.script = {"calls": [["memory_append", learned]], "answer": "noted"}
    first = runs.start(bench.scope)
    assert runs.advance(bench.scope, first.id).status is RunStatus.SUCCEEDED
    told = [e.data for e in runs.events(bench.scope, first.id) if "is_error" in e.data]
    assert not told[0]["is_error"], told
    second = runs.start(bench.scope)
    assert runs.advance(bench.scope, second.id).status is RunStatus.SUCCEEDED
    prompts = [request["messages"][0]["content"] for request in bench.chat.requests]
    assert "[bakery: habits]" in prompts[0]
    assert "Opens at seven." in prompts[0]
    assert "Closed on Mondays." not in prompts[1]  # a run keeps the prompt that it began with
    assert "Opens at seven.\nClosed on Mondays." in prompts[2]
    kept = runs.events(bench.scope, second.id)[1]
    assert [block["name"] for block in kept.data["memory"]] == ["habits"]
    assert {source["citation"]["key"] for source in kept.data["sources"]} <= {"oven.md"}
