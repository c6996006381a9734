"""Agents as tools: asked directly, and as tasks that outlive the request."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests import toolbox
from tests.conformance.mcp.behaviours import behaviour
from tests.integration.mcp.conftest import ERAS, Endpoint
from tests.runs import eventually

TOOL = "agent__worker-bee"


@pytest.fixture
def agent(bench: Any) -> str:
    from tests.runs import save

    save(bench.scope)
    return TOOL


def script(**of: Any) -> dict[str, str]:
    return {"input": json.dumps(of)}


@pytest.mark.parametrize("era", ERAS)
def test_an_agent_is_a_tool_that_answers_with_text_and_its_run(
    mcp: Endpoint, agent: str, era: str, worker: None
) -> None:
    said: list[str] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        said.append(message or "")

    async def converse(client: Any) -> Any:
        (listed,) = [t for t in (await client.list_tools()).tools if t.name == agent]
        assert "Follow the script" not in listed.description
        ask = script(calls=[["box_look", {"n": 2}]], answer="two")
        return await client.call_tool(agent, ask, progress_callback=hear)

    answer = mcp.talk(converse, era)
    assert answer.content[0].text.strip() == "two"
    assert answer.structured_content["text"] == answer.content[0].text
    assert answer.structured_content["run"] == answer.meta["octavo/run"]
    assert answer.structured_content["citations"] == []
    assert "Called box_look." in said


def test_wrong_input_of_an_agent_is_an_answer_to_repair_from(mcp: Endpoint, agent: str) -> None:
    answer = mcp.call(agent, {"question": "?"})
    assert answer.is_error
    assert '"input" is a required property' in answer.content[0].text


def test_an_agent_that_fails_says_why(mcp: Endpoint, agent: str, bench: Any, worker: None) -> None:
    from apps.agents.types import Limits
    from tests.runs import save

    save(bench.scope, "hasty", limits=Limits(max_steps=1))
    answer = mcp.call("agent__hasty", script(calls=[["box_look", {"n": 1}]] * 3))
    assert answer.is_error
    assert "max_steps" in answer.content[0].text


def test_whoever_may_not_start_agents_sees_none(
    mcp: Endpoint, agent: str, new_key: Callable[..., str]
) -> None:
    assert agent not in mcp.names(key=new_key("tool.call"))
    assert agent in mcp.names(key=new_key("run.start"))


def test_a_call_of_an_agent_is_approved_in_the_client(
    mcp: Endpoint, agent: str, worker: None
) -> None:
    from mcp_types import ElicitResult

    async def approve(context: Any, params: Any) -> ElicitResult:
        assert "box_launch" in params.message
        return ElicitResult(action="accept", content={"decision": "approve"})

    arguments = script(calls=[["box_launch", {"n": 1}]], answer="launched")
    answer = mcp.call(agent, arguments, elicitation_callback=approve)
    assert answer.content[0].text.strip() == "launched"
    assert len(toolbox.read_trail()) == 1


def test_a_client_that_does_not_follow_is_told_how_to_read_the_answer_later(
    mcp: Endpoint, agent: str, impatient: None
) -> None:
    answer = mcp.call(agent, script(answer="later"))
    assert not answer.is_error
    assert "goes on in the background" in answer.content[0].text
    assert answer.structured_content["run"] in answer.content[0].text


def _status(mcp: Endpoint, task: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = mcp.ask("tasks/get", taskId=task, **options)["result"]
    return found


def _until(mcp: Endpoint, task: str, status: str) -> dict[str, Any]:
    eventually(lambda: _status(mcp, task)["status"] == status, what=f"never {status}")
    return _status(mcp, task)


@behaviour("tasks.lifecycle")
def test_an_agent_goes_on_as_a_task(mcp: Endpoint, agent: str, worker: None) -> None:
    created = mcp.ask("tools/call", name=agent, arguments=script(answer="done"))["result"]
    assert (created["resultType"], created["status"]) == ("task", "working")
    assert isinstance(created["ttlMs"], int)
    assert isinstance(created["pollIntervalMs"], int)
    done = _until(mcp, created["taskId"], "completed")
    assert done["result"]["content"][0]["text"].strip() == "done"
    assert done["result"]["structuredContent"]["citations"] == []
    assert done["createdAt"] <= done["lastUpdatedAt"]


@behaviour("tasks.owner")
def test_another_callers_task_does_not_exist(
    mcp: Endpoint, agent: str, new_key: Callable[..., str]
) -> None:
    task = mcp.ask("tools/call", name=agent, arguments=script(answer="x"))["result"]["taskId"]
    other = new_key(service="robot")
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        refused = mcp.ask(method, taskId=task, key=other)["error"]
        unknown = mcp.ask(method, taskId="run_x.y", key=other)["error"]
        assert refused["code"] == unknown["code"] == -32602
        assert refused["message"].replace(task, "run_x.y") == unknown["message"]
    forged = f"{task[:-1]}{'A' if task[-1] != 'A' else 'B'}"
    assert mcp.ask("tasks/get", taskId=forged)["error"]["code"] == -32602


@behaviour("tasks.capability")
def test_a_client_that_does_not_know_tasks_gets_none(
    mcp: Endpoint, agent: str, worker: None
) -> None:
    answer = mcp.ask("tools/call", name=agent, arguments=script(answer="x"), tasks=False)["result"]
    assert answer["resultType"] == "complete"
    refused = mcp.ask("tasks/get", taskId="x", tasks=False)["error"]
    assert refused["code"] == -32021
    assert refused["data"] == {
        "requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    }


@behaviour("tasks.cancel")
def test_a_cancelled_task_ends_its_run(mcp: Endpoint, agent: str, worker: None) -> None:
    arguments = script(answer="never", delay=60)
    task = mcp.ask("tools/call", name=agent, arguments=arguments)["result"]["taskId"]
    assert mcp.ask("tasks/cancel", taskId=task)["result"]["resultType"] == "complete"
    _until(mcp, task, "cancelled")
    assert mcp.ask("tasks/cancel", taskId=task)["result"]["resultType"] == "complete"


@behaviour("tasks.input")
def test_a_task_asks_for_an_approval_and_goes_on_once_it_is_given(
    mcp: Endpoint, agent: str, worker: None
) -> None:
    arguments = script(calls=[["box_launch", {"n": 1}]], answer="launched")
    task = mcp.ask("tools/call", name=agent, arguments=arguments)["result"]["taskId"]
    asking = _until(mcp, task, "input_required")
    ((approval, request),) = asking["inputRequests"].items()
    assert approval.startswith("apr_")
    assert request["method"] == "elicitation/create"
    assert "box_launch" in request["params"]["message"]
    mcp.ask("tasks/update", taskId=task, inputResponses={"apr_other": {"action": "accept"}})
    assert _status(mcp, task)["status"] == "input_required"
    response = {"action": "accept", "content": {"decision": "approve"}}
    done = mcp.ask("tasks/update", taskId=task, inputResponses={approval: response})
    assert done["result"]["resultType"] == "complete"
    ended = _until(mcp, task, "completed")["result"]
    assert ended["content"][0]["text"].strip() == "launched"
    assert len(toolbox.read_trail()) == 1


@behaviour("tasks.failed")
def test_an_agent_that_cannot_answer_completes_with_an_error(
    mcp: Endpoint, agent: str, bench: Any, worker: None
) -> None:
    from tests.runs import save

    save(bench.scope, "looping", tools=())
    task = mcp.ask(
        "tools/call", name="agent__looping", arguments=script(calls=[["box_look", {"n": 1}]] * 40)
    )["result"]["taskId"]
    done = _until(mcp, task, "completed")
    assert done["result"]["isError"]
