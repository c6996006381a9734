"""People hold a run, let it go on, and answer what it asks; it waits without a worker."""

import pytest

from apps.orchestration import inbox, selectors
from apps.orchestration.services import control
from apps.orchestration.types.runs import EventType, RunStatus
from apps.orchestration.types.serving import RunFilter
from octavo.kernel.errors import Conflict, InvalidInput
from tests import runs, toolbox
from tests.runs import Bench


def test_a_paused_run_stays_where_it_is_until_it_is_resumed(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1}]], answer="done")
    control.pause_run(scope=bench.scope, run_id=run.id)
    held = runs.advance(bench.scope, run.id)
    assert (held.status, held.waiting_on) == (RunStatus.PAUSED, None)
    assert toolbox.read_trail() == []

    control.pause_run(scope=bench.scope, run_id=run.id)
    assert runs.advance(bench.scope, run.id).status is RunStatus.PAUSED
    listed = selectors.list_runs(scope=bench.scope, wanted=RunFilter(status=RunStatus.PAUSED))
    assert [row.id for row in listed] == [run.id]
    waiting = RunFilter(status=RunStatus.WAITING)
    assert selectors.list_runs(scope=bench.scope, wanted=waiting) == []

    control.resume_run(scope=bench.scope, run_id=run.id)
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    seen = runs.types(bench.scope, run.id)
    assert seen.count(EventType.RUN_PAUSED) == seen.count(EventType.RUN_RESUMED) == 1


def test_a_paused_run_keeps_what_it_waited_for(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_launch", {"n": 1}]], answer="done")
    assert runs.advance(bench.scope, run.id).status is RunStatus.WAITING
    control.pause_run(scope=bench.scope, run_id=run.id)
    assert runs.advance(bench.scope, run.id).status is RunStatus.PAUSED
    control.resume_run(scope=bench.scope, run_id=run.id)
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.waiting_on is not None
    assert waiting.waiting_on.kind == "approval"
    assert bench.rows("SELECT count(*) FROM approval") == [(1,)]


def test_a_cancelled_run_does_not_stay_paused(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    control.pause_run(scope=bench.scope, run_id=run.id)
    runs.advance(bench.scope, run.id)
    control.cancel_run(scope=bench.scope, run_id=run.id)
    assert runs.advance(bench.scope, run.id).status is RunStatus.CANCELLED
    with pytest.raises(Conflict):
        control.resume_run(scope=bench.scope, run_id=run.id)


def test_an_agent_s_question_waits_for_a_person_s_words(bench: Bench) -> None:
    runs.save(bench.scope, tools=("ask_person",))
    question = {"question": "Red or blue?", "choices": ["red", "blue"]}
    run = runs.start(bench.scope, calls=[["ask_person", question]], answer="done")
    with pytest.raises(Conflict):
        control.give_input(scope=bench.scope, run_id=run.id, content="too early")
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.waiting_on is not None
    assert waiting.waiting_on.kind == "input"
    assert runs.events(bench.scope, run.id)[-1].data == question
    with pytest.raises(InvalidInput):
        control.give_input(scope=bench.scope, run_id=run.id, content=" ")

    control.give_input(scope=bench.scope, run_id=run.id, content="blue")
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED
    told = [m for m in bench.chat.requests[-1]["messages"] if m["role"] == "tool"]
    assert told[0]["content"] == "blue"


def test_a_wait_holds_no_worker_and_ends_by_its_timer(bench: Bench) -> None:
    runs.save(bench.scope, tools=("wait",))
    run = runs.start(bench.scope, calls=[["wait", {"seconds": 3600}]], answer="done")
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.waiting_on is not None
    assert waiting.waiting_on.kind == "timer"
    assert inbox.fire_timers() == 0
    sooner = "UPDATE event SET data = jsonb_set(data, '{until}', to_jsonb(now())) "
    bench.rows(sooner + "WHERE type = 'timer_started' RETURNING seq")
    bench.rows("UPDATE timer SET fire_at = now() RETURNING id")
    assert inbox.fire_timers() == 1
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
