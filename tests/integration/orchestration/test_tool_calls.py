"""A tool call outside an agent's run: a durable run of one step, whoever makes it."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from apps.accounts import selectors as account_selectors
from apps.accounts import services as accounts
from apps.accounts.types import Role
from apps.governance import selectors as governance
from apps.governance.services import approvals
from apps.governance.types import Verdict
from apps.orchestration import journal, leases, selectors
from apps.orchestration.services import control, direct, engine
from apps.orchestration.types.runs import EventType, RunStatus, ToolCallView
from octavo.kernel import ids
from octavo.kernel.errors import Forbidden, InvalidInput, NotFound
from octavo.kernel.scope import Scope
from tests import runs, toolbox
from tests.runs import Bench


def call(bench: Bench, tool: str, *, scope: Scope | None = None, **given: Any) -> ToolCallView:
    arguments = {"n": 1, **given.pop("arguments", {})}
    return direct.call_tool(scope=scope or bench.scope, tool=tool, arguments=arguments, **given)


def approval_of(view: ToolCallView) -> UUID:
    waiting = view.run.waiting_on
    assert waiting is not None, view.run
    assert waiting.kind == "approval"
    return ids.decode(ids.Kind.APPROVAL, waiting.id)


def test_a_call_is_a_run_of_one_step_with_journal_decision_and_trace(bench: Bench) -> None:
    view = call(bench, "box_look", session="s1", metadata={"from": "test"})

    assert view.run.status is RunStatus.SUCCEEDED, view.run.error
    assert (view.run.tool, view.run.agent, view.run.steps) == ("box_look", None, 1)
    assert (view.run.session, view.run.metadata) == ("s1", {"from": "test"})
    assert view.answer is not None
    assert (view.answer.text, view.answer.is_error, view.outcome) == ("saw 1", False, "allow")
    assert runs.types(bench.scope, view.run.id) == [
        EventType.RUN_STARTED,
        EventType.TOOL_ANSWERED,
        EventType.RUN_SUCCEEDED,
    ]
    _, spans = selectors.get_trace(scope=bench.scope, trace_id=view.run.trace_id)
    assert [span.name for span in spans] == ["call_tool box_look", "execute_tool box_look"]
    (decision,) = governance.list_decisions(run_id=view.run.id)
    assert (decision.action, decision.step) == ("tool.call", "call.0")


def test_wrong_arguments_are_named_by_path_and_make_no_run(bench: Bench) -> None:
    with pytest.raises(InvalidInput) as refused:
        call(bench, "box_look", arguments={"n": "one", "m": 2})
    assert {error["path"] for error in refused.value.errors} == {"/arguments/n", "/arguments"}
    assert '- at /n: "one" is not of type "integer"' in str(refused.value)
    assert selectors.list_runs(scope=bench.scope) == []


def test_a_tool_for_nobody_and_a_tool_that_is_not_there_answer_alike(bench: Bench) -> None:
    viewer = accounts.create_service(scope=bench.scope, name="viewer", role=Role.VIEWER)
    outsider = replace(bench.scope, principal=viewer)
    with pytest.raises(NotFound) as ungranted:
        call(bench, "box_look", scope=outsider)
    with pytest.raises(NotFound) as unknown:
        call(bench, "box_nothing", scope=outsider)
    said = str(ungranted.value).replace("box_look", "box_nothing")
    assert said == str(unknown.value)


def test_a_key_that_was_not_made_for_tools_is_told_so(bench: Bench) -> None:
    narrow = replace(bench.scope, key_scopes=("run.read",))
    with pytest.raises(Forbidden) as refused:
        call(bench, "box_look", scope=narrow)
    assert refused.value.policies == ("key-scope",)


def test_an_irreversible_call_waits_and_is_made_once_with_the_edited_arguments(
    bench: Bench,
) -> None:
    service = accounts.create_service(scope=bench.scope, name="robot", role=Role.MEMBER)
    robot = replace(bench.scope, principal=service)
    waiting = call(bench, "box_launch", scope=robot)
    assert waiting.run.status is RunStatus.WAITING
    assert waiting.answer is None
    assert (waiting.outcome, waiting.policies) == (
        "require_approval",
        ("irreversible-needs-approval",),
    )
    again = direct.resume_call(scope=robot, run_id=waiting.run.id)
    assert again.run.status is RunStatus.WAITING

    approvals.decide(
        scope=bench.scope,
        approval_id=approval_of(waiting),
        verdict=Verdict.APPROVE,
        arguments={"n": 3},
    )
    done = direct.resume_call(scope=robot, run_id=waiting.run.id)
    repeated = direct.resume_call(scope=robot, run_id=waiting.run.id)

    assert done.run.status is RunStatus.SUCCEEDED, done.run.error
    assert done.answer is not None
    assert done.answer.text == "sent 3"
    assert repeated == done
    assert len(toolbox.read_trail()) == 1


def test_a_refusal_is_the_answer_and_carries_the_note(bench: Bench) -> None:
    service = accounts.create_service(scope=bench.scope, name="robot", role=Role.MEMBER)
    robot = replace(bench.scope, principal=service)
    waiting = call(bench, "box_launch", scope=robot)
    approvals.decide(
        scope=bench.scope,
        approval_id=approval_of(waiting),
        verdict=Verdict.REFUSE,
        note="not today",
    )
    done = direct.resume_call(scope=robot, run_id=waiting.run.id)
    assert done.run.status is RunStatus.FAILED
    assert done.answer is not None
    assert done.answer.is_error
    assert "not today" in done.answer.text
    assert toolbox.read_trail() == []


def test_what_a_model_writes_to_notes_waits_and_the_key_s_owner_may_approve(bench: Bench) -> None:
    ((user_id,),) = bench.rows("SELECT id FROM user_account")
    owner = account_selectors.scope_for_user(user_id=user_id)
    key = accounts.issue_key(scope=owner, name="laptop")
    client = accounts.authenticate_key(secret=key.secret)

    by_hand = call(bench, "box_note", scope=client)
    assert by_hand.run.status is RunStatus.SUCCEEDED

    waiting = call(bench, "box_note", scope=client, autonomous=True)
    assert waiting.policies == ("notes-write-needs-approval",)
    approval = governance.get_approval(scope=bench.scope, approval_id=approval_of(waiting))
    assert approval.requested_by.startswith("a client of user:")
    with pytest.raises(Forbidden):
        approvals.decide(
            scope=replace(client, is_autonomous=True),
            approval_id=approval.id,
            verdict=Verdict.APPROVE,
        )
    approvals.decide(scope=owner, approval_id=approval.id, verdict=Verdict.APPROVE)
    done = direct.resume_call(scope=client, run_id=waiting.run.id)
    assert done.run.status is RunStatus.SUCCEEDED, done.run.error
    assert [line[0] for line in toolbox.read_trail()] == ["note", "approved"]


def test_a_call_that_its_process_left_is_made_by_a_worker(bench: Bench) -> None:
    opened = direct.open_call(scope=bench.scope, tool="box_look", arguments={"n": 1})
    journal.release(opened.run.id, opened.head.fence)
    engine.advance(run_id=str(opened.run.id))
    view = direct.get_call(scope=bench.scope, run_id=opened.run.id)
    assert view.answer is not None
    assert view.answer.text == "saw 1"


def test_progress_of_a_far_call_reaches_whoever_made_it(bench: Bench) -> None:
    seen: list[tuple[float, float | None, str]] = []
    view = call(
        bench,
        "box_far_read",
        on_progress=lambda done, total, word: seen.append((done, total, word)),
    )
    assert view.answer is not None
    assert (view.answer.text, seen) == ("reached 1", [(1, 2, "half way")])


def test_a_caller_hears_at_once_that_the_far_end_is_away(bench: Bench) -> None:
    view = call(bench, "box_far_send", arguments={"mood": "away"})
    assert view.run.status is RunStatus.FAILED
    assert view.answer is not None
    assert "refused the connection" in view.answer.text
    assert bench.rows("SELECT * FROM effect") == []


def test_an_unsafe_call_that_broke_off_asks_a_person(bench: Bench) -> None:
    view = call(bench, "box_far_send", arguments={"mood": "breaks off"})
    assert view.run.waiting_on is not None
    assert (view.run.waiting_on.kind, view.run.waiting_on.id) == ("effect", "call.0")
    control.resolve_effect(
        scope=bench.scope,
        run_id=view.run.id,
        step="call.0",
        outcome="happened",
        result="it arrived",
    )
    done = direct.resume_call(scope=bench.scope, run_id=view.run.id)
    assert done.answer is not None
    assert done.answer.text == "it arrived"
    assert [line[0] for line in toolbox.read_trail()] == ["reach"]


@pytest.mark.parametrize(
    ("tool", "mood"), [("box_far_read", "breaks off"), ("box_far_send", "away")]
)
def test_an_agent_s_call_without_an_answer_is_made_again_a_while_and_then_told(
    bench: Bench, tool: str, mood: str
) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[[tool, {"n": 1, "mood": mood}]], answer="done")
    status = runs.advance(bench.scope, run.id).status
    while status is RunStatus.WAITING:
        bench.rows("UPDATE timer SET fire_at = now() WHERE fired_at IS NULL RETURNING id")
        _skip_delays(bench, run.id)
        status = runs.advance(bench.scope, run.id).status
    assert status is RunStatus.SUCCEEDED
    seen = runs.types(bench.scope, run.id)
    assert seen.count(EventType.TOOL_FAILED) == 3
    assert seen.count(EventType.TOOL_ANSWERED) == 1
    assert seen.count(EventType.TOOL_INTENDED) == (4 if tool == "box_far_send" else 0)
    attempts = [e.attempt for e in runs.events(bench.scope, run.id) if e.step.startswith("tools")]
    assert attempts == sorted(attempts)
    assert attempts[-1] == 4


def _skip_delays(bench: Bench, run_id: UUID) -> None:
    from apps.orchestration import inbox

    sql = (
        "UPDATE event SET at = at - interval '1 minute' WHERE run_id = %s AND type = 'tool_failed' "
        "RETURNING seq"
    )
    bench.rows(sql, run_id)
    inbox.fire_timers()


def test_cancelling_ends_a_far_call_at_once_and_doubts_what_it_did(bench: Bench) -> None:
    opened = direct.open_call(
        scope=bench.scope, tool="box_far_send", arguments={"n": 1, "seconds": 4}
    )

    def cancel(done: float, total: float | None, word: str) -> None:
        from octavo.kernel import io

        io.submit(control.cancel_run, scope=bench.scope, run_id=opened.run.id)

    view = direct.make_call(scope=bench.scope, opened=opened, on_progress=cancel)
    assert view.run.status is RunStatus.CANCELLED
    assert [line[0] for line in toolbox.read_trail()] == ["reach"]
    assert bench.rows("SELECT state FROM effect") == [("unknown",)]
    assert leases.held() == []
