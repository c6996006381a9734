"""Calls that wait for a person: asked in the client, told in words, and made exactly once."""

from collections.abc import Callable
from typing import Any

import mcp_types as t
import pytest

from tests import toolbox
from tests.conformance.mcp.behaviours import behaviour
from tests.integration.mcp.conftest import ERAS, Endpoint


class Person:
    """Whoever sits at the client and fills in its forms."""

    def __init__(self, action: str = "accept", **content: Any) -> None:
        self.result = t.ElicitResult(action=action, content=content or None)
        self.seen: list[t.ElicitRequestFormParams] = []

    async def __call__(self, context: Any, params: Any) -> t.ElicitResult:
        self.seen.append(params)
        return self.result


def pending(admin: Any) -> Any:
    from apps.governance import selectors
    from apps.governance.types import ApprovalStatus

    (approval,) = selectors.list_approvals(scope=admin, status=ApprovalStatus.PENDING)
    return approval


def decide(admin: Any, verdict: str = "approve", note: str = "") -> Any:
    from apps.governance.services import approvals
    from apps.governance.types import Verdict

    approval = pending(admin)
    return approvals.decide(
        scope=admin, approval_id=approval.id, verdict=Verdict(verdict), note=note
    )


@behaviour("mrtr.elicitation")
def test_a_person_approves_in_the_client_and_the_call_is_made_once(mcp: Endpoint) -> None:
    person = Person(decision="approve", note="fine")
    answer = mcp.call("box_launch", {"n": 7}, elicitation_callback=person)
    assert (answer.content[0].text, answer.is_error) == ("sent 7", False)
    (form,) = person.seen
    assert '"n": 7' in form.message
    assert "irreversible-needs-approval" in form.message
    assert "/runs/run_" in form.message
    assert form.requested_schema["properties"]["decision"]["enum"] == ["approve", "refuse"]
    assert len(toolbox.read_trail()) == 1


@behaviour("mrtr.decline")
@pytest.mark.parametrize(
    ("person", "word"),
    [
        (Person(decision="refuse", note="not on a Friday"), "not on a Friday"),
        (Person("decline"), "refused"),
    ],
)
def test_a_refusal_is_an_answer_that_says_so(mcp: Endpoint, person: Person, word: str) -> None:
    answer = mcp.call("box_launch", {"n": 7}, elicitation_callback=person)
    assert answer.is_error
    assert word in answer.content[0].text
    assert toolbox.read_trail() == []


async def _asked(client: Any, tool: str = "box_launch", **arguments: Any) -> Any:
    asked = await client.session.call_tool(tool, arguments or {"n": 7}, allow_input_required=True)
    assert isinstance(asked, t.InputRequiredResult)
    return asked


async def _retried(client: Any, asked: Any, answer: t.ElicitResult, **arguments: Any) -> Any:
    return await client.session.call_tool(
        "box_launch",
        arguments or {"n": 7},
        input_responses={"approval": answer},
        request_state=asked.request_state,
        allow_input_required=True,
    )


APPROVED = t.ElicitResult(action="accept", content={"decision": "approve"})


@behaviour("mrtr.state.bound")
def test_a_retry_with_other_arguments_or_by_somebody_else_is_refused(
    mcp: Endpoint, new_key: Callable[..., str]
) -> None:
    from mcp.shared.exceptions import MCPError

    robot = new_key(service="robot")

    async def cheat(client: Any) -> None:
        asked = await _asked(client)
        with pytest.raises(MCPError, match="requestState"):
            await _retried(client, asked, APPROVED, n=8)
        async with mcp.connect(key=robot, elicitation_callback=Person()) as other:
            with pytest.raises(MCPError, match="requestState"):
                await _retried(other, asked, APPROVED)

    mcp.talk(cheat, elicitation_callback=Person())
    assert toolbox.read_trail() == []


@behaviour("mrtr.retry.once")
def test_however_often_it_is_retried_the_call_is_made_once(mcp: Endpoint) -> None:
    async def insist(client: Any) -> list[str]:
        asked = await _asked(client)
        answers = [await _retried(client, asked, APPROVED) for _ in range(3)]
        return [answer.content[0].text for answer in answers]

    assert mcp.talk(insist, elicitation_callback=Person()) == ["sent 7"] * 3
    assert len(toolbox.read_trail()) == 1


def test_a_form_that_is_dismissed_is_asked_again(mcp: Endpoint, admin: Any) -> None:
    async def dismiss(client: Any) -> Any:
        asked = await _asked(client)
        return await _retried(client, asked, t.ElicitResult(action="cancel"))

    assert isinstance(mcp.talk(dismiss, elicitation_callback=Person()), t.InputRequiredResult)
    assert pending(admin).status == "pending"


def test_a_program_cannot_approve_itself_but_learns_what_a_person_decided(
    mcp: Endpoint, admin: Any, new_key: Callable[..., str]
) -> None:
    async def converse(client: Any) -> Any:
        import asyncio

        asked = await _asked(client)
        form = asked.input_requests["approval"].params
        assert form.requested_schema["properties"] == {}
        assert "Somebody else must decide" in form.message
        again = await _retried(client, asked, APPROVED)
        assert isinstance(again, t.InputRequiredResult)
        await asyncio.to_thread(decide, admin)
        return await _retried(client, again, t.ElicitResult(action="accept"))

    key = new_key(service="robot")
    answer = mcp.talk(converse, key=key, elicitation_callback=Person())
    assert answer.content[0].text == "sent 7"


@behaviour("approvals.told")
@pytest.mark.parametrize("era", ERAS)
def test_a_client_without_forms_is_told_where_it_is_decided_and_reads_the_result_later(
    mcp: Endpoint, admin: Any, era: str, impatient: None, worker: None
) -> None:
    from octavo.kernel import ids

    told = mcp.call("box_launch", {"n": 7}, era)
    text, run = told.content[0].text, told.meta["octavo/run"]
    assert told.is_error
    assert ids.encode(ids.Kind.APPROVAL, pending(admin).id) in text
    assert f"/runs/{run}" in text
    assert "run_result" in text
    still = mcp.call("run_result", {"run": run}, era)
    assert not still.is_error
    assert "waits for an approval" in still.content[0].text
    assert toolbox.read_trail() == []
    decide(admin)
    answer = mcp.call("run_result", {"run": run, "wait_seconds": 30}, era)
    assert (answer.content[0].text, answer.is_error) == ("sent 7", False)
    assert len(toolbox.read_trail()) == 1


def test_a_call_goes_on_by_itself_when_it_is_approved_while_the_client_waits(
    mcp: Endpoint, admin: Any, worker: None
) -> None:
    said: list[str] = []

    async def converse(client: Any) -> Any:
        import asyncio

        async def hear(done: float, total: float | None, message: str | None) -> None:
            said.append(message or "")
            if "approve" in (message or ""):
                await asyncio.to_thread(decide, admin)

        return await client.call_tool("box_launch", {"n": 7}, progress_callback=hear)

    answer = mcp.talk(converse, "legacy")
    assert answer.content[0].text == "sent 7"
    assert any("box_launch" in word for word in said)


def test_what_a_model_writes_into_notes_waits_for_a_person(
    mcp: Endpoint, admin: Any, embedding: None
) -> None:
    from apps.context.services import spaces

    spaces.create_space(scope=admin, name="notes")
    person = Person(decision="approve")
    entry = {"space": "notes", "key": "a.md", "content": "x", "why": "test"}
    answer = mcp.call("context_write", entry, elicitation_callback=person)
    assert "Wrote revision 1" in answer.content[0].text
    assert "context_write" in person.seen[0].message


def test_a_call_found_by_search_is_approved_under_its_real_name(
    mcp: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.api.mcp import catalogue

    monkeypatch.setattr(catalogue, "LONGEST_LIST", 3)
    person = Person(decision="approve")
    called = {"name": "box_launch", "arguments": {"n": 7}}
    answer = mcp.call("call_tool", called, elicitation_callback=person)
    assert answer.content[0].text == "sent 7"
    assert person.seen[0].message.startswith("box_launch ")


def test_the_result_of_a_run_that_may_not_be_read_is_no_result(
    mcp: Endpoint, new_key: Callable[..., str]
) -> None:
    run = mcp.call("box_look", {"n": 1}).meta["octavo/run"]
    assert mcp.call("run_result", {"run": run}).content[0].text == "saw 1"
    key = new_key("tool.call", service="robot")
    for name in (run, "run_01h455vb4pex5vsknk084sn02q", "x"):
        refused = mcp.call("run_result", {"run": name}, key=key)
        assert refused.is_error
        assert "There is no run" in refused.content[0].text
