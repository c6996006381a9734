"""Runs are remembered: each leaves an episode that later runs find, without any model."""

from typing import Any

import pytest

from apps.agents.types import Access, SpaceGrant, Strategy
from apps.context import selectors as context
from apps.context.services import spaces
from apps.orchestration import episodes
from apps.orchestration.services import control, forking, remembering
from apps.orchestration.types.runs import RunStatus
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput, NotFound
from tests import runs
from tests.integration.orchestration.test_sources_in_runs import embedder as embedder
from tests.runs import Bench

MINE = (SpaceGrant(space="diary", access=Access.WRITE), SpaceGrant(space="bakery"))
DUE = "SELECT count(*) FROM kept_event WHERE name = 'orchestration.episode_due'"


@pytest.fixture
def diary(bench: Bench, embedder: Any) -> Any:
    spaces.create_space(scope=bench.scope, name="diary")
    return embedder


def save(bench: Bench, **fields: Any) -> None:
    runs.save(bench.scope, **{"spaces": MINE, "remember": "diary", **fields})


def find(bench: Bench, run_id: Any) -> Any:
    key = context.episode_key(run_id=run_id)
    return context.get_entry(scope=bench.scope, space="diary", key=key)


def test_a_run_leaves_one_episode_that_a_later_run_finds(bench: Bench, diary: Any) -> None:
    save(bench)
    bench.chat.script = {
        "calls": [["box_look", {"n": 1}], ["box_look", {"n": 2}]],
        "answer": "Use the blue flour, see bakery/oven.md [1].",
    }
    run = runs.starting.start_run(
        scope=bench.scope, agent="worker-bee", input="Which flour goes into the oven?"
    )
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert bench.rows(DUE) == [(1,)]
    assert remembering.record_due() == 1
    assert remembering.record_due() == 0

    entry = find(bench, run.id)
    assert entry.text.splitlines()[0] == "# Which flour goes into the oven?"
    assert "Called: box_look (2 times)" in entry.text
    assert "Answered: Use the blue flour" in entry.text
    assert entry.kind == "episode"
    assert entry.trust == "untrusted"
    assert entry.revision.run_id == run.id
    assert {source["key"] for source in entry.revision.sources} == {"oven.md"}

    bench.chat.script = {"answer": "the blue one"}
    again = runs.starting.start_run(
        scope=bench.scope, agent="worker-bee", input="Which flour did I use?"
    )
    runs.advance(bench.scope, again.id)
    asked = bench.chat.requests[-1]["messages"][1]["content"]
    assert f"diary/{context.episode_key(run_id=run.id)}" in asked


def test_an_episode_that_is_due_twice_is_written_once(bench: Bench, diary: Any) -> None:
    save(bench)
    run = runs.start(bench.scope, answer="done")
    runs.advance(bench.scope, run.id)
    again = "INSERT INTO kept_event (name, args) SELECT name, args FROM kept_event RETURNING id"
    bench.rows(again)
    assert remembering.record_due() == 2
    assert find(bench, run.id).revision.number == 1
    assert bench.rows("SELECT count(*) FROM revision WHERE kind = 'episode'") == [(1,)]


def test_a_failed_run_says_why_and_a_cancelled_one_says_nothing(bench: Bench, diary: Any) -> None:
    save(bench)
    bench.chat.failures = [400]
    failed = runs.start(bench.scope)
    assert runs.advance(bench.scope, failed.id).status is RunStatus.FAILED
    cancelled = runs.start(bench.scope)
    control.cancel_run(scope=bench.scope, run_id=cancelled.id)
    assert runs.advance(bench.scope, cancelled.id).status is RunStatus.CANCELLED
    assert remembering.record_due() == 1
    assert "Failed (" in find(bench, failed.id).text
    with pytest.raises(NotFound):
        find(bench, cancelled.id)


def test_a_dry_run_leaves_nothing(bench: Bench, diary: Any) -> None:
    save(bench)
    bench.chat.script = {"calls": [["box_look", {"n": 1}]], "answer": "done"}
    run = runs.start(bench.scope)
    runs.advance(bench.scope, run.id)
    fork = forking.fork_run(scope=bench.scope, run_id=run.id, at_step="tools.1.0", dry_run=True)
    runs.advance(bench.scope, fork.id)
    assert bench.rows(DUE) == [(1,)]


def test_episodes_wait_for_the_embedding_model(bench: Bench, diary: Any) -> None:
    save(bench, spaces=(SpaceGrant(space="diary", access=Access.WRITE),), strategy=Strategy.TOOLS)
    run = runs.start(bench.scope, answer="done")
    runs.advance(bench.scope, run.id)
    diary.is_down = True
    assert remembering.record_due() == 0
    assert bench.rows(DUE) == [(1,)]
    diary.is_down = False
    assert remembering.record_due() == 1
    assert "Answered: done" in find(bench, run.id).text


def test_one_that_never_can_be_written_does_not_hold_up_the_others(
    bench: Bench, diary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(bench, spaces=(SpaceGrant(space="diary", access=Access.WRITE),), strategy=Strategy.TOOLS)
    old, broken, fine = (runs.start(bench.scope, answer="done").id for _ in range(3))
    for run_id in (old, broken, fine):
        runs.advance(bench.scope, run_id)
    diary.is_down = True
    aged = "UPDATE kept_event SET at = at - interval '2 days' WHERE args ->> 'run_id' = %s"
    bench.rows(f"{aged} RETURNING id", str(old))
    assert remembering.record_due() == 1  # after a day it is let go
    diary.is_down = False
    tell = episodes.tell

    def fail(facts: Any, *told: Any) -> Any:
        if facts.id == broken:
            raise ValueError("cannot be told")
        return tell(facts, *told)

    monkeypatch.setattr(episodes, "tell", fail)
    assert remembering.record_due() == 2
    assert "Answered: done" in find(bench, fine).text
    for run_id in (old, broken):
        with pytest.raises(NotFound):
            find(bench, run_id)


def test_a_write_that_policy_holds_up_is_let_go(
    bench: Bench, diary: Any, caplog: pytest.LogCaptureFixture
) -> None:
    spaces.create_space(scope=bench.scope, name="notes")  # what a model writes there is approved
    save(bench, spaces=(SpaceGrant(space="notes", access=Access.WRITE),), remember="notes")
    run = runs.start(bench.scope, answer="done")
    runs.advance(bench.scope, run.id)
    assert remembering.record_due() == 1
    assert bench.rows(DUE) == [(0,)]
    assert f"{ids.encode(ids.Kind.RUN, run.id)} leaves no episode" in caplog.text


def test_an_agent_remembers_only_where_it_may_write(bench: Bench, diary: Any) -> None:
    with pytest.raises(InvalidInput, match="name a space that the agent may write") as refused:
        save(bench, spaces=(SpaceGrant(space="diary"),))
    assert [error["path"] for error in refused.value.errors] == ["/remember"]
