"""Tools over MCP, in both eras of the protocol."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import toolbox
from tests.conformance.mcp.behaviours import behaviour
from tests.integration.mcp.conftest import ERAS, NEW, Endpoint


@behaviour("tools.call")
@pytest.mark.parametrize("era", ERAS)
def test_a_granted_tool_is_listed_and_called(mcp: Endpoint, era: str, admin: Any) -> None:
    from apps.orchestration.services import direct
    from octavo.kernel import ids

    names = mcp.names(era)
    assert names == sorted(names)
    assert {"box_look", "context_search", "run_result"} <= set(names)
    answer = mcp.call("box_look", {"n": 3}, era)
    assert (answer.content[0].text, answer.is_error) == ("saw 3", False)
    run_id = ids.decode(ids.Kind.RUN, answer.meta["octavo/run"])
    made = direct.get_call(scope=admin, run_id=run_id)
    assert (made.run.tool, made.run.status, made.run.input) == ("box_look", "succeeded", {"n": 3})
    assert answer.meta["octavo/trace"] == made.run.trace_id


@behaviour("tools.annotations")
def test_a_tools_risk_is_told_as_hints(mcp: Endpoint) -> None:
    listed = mcp.talk(lambda client: client.list_tools())
    hints = {tool.name: tool.annotations for tool in listed.tools}
    assert hints["box_look"].read_only_hint
    assert hints["box_look"].idempotent_hint
    assert not hints["box_send"].read_only_hint
    assert not hints["box_send"].idempotent_hint
    assert hints["box_launch"].destructive_hint
    assert hints["box_mail"].open_world_hint
    assert not hints["box_send"].open_world_hint


@behaviour("tools.structured")
@pytest.mark.parametrize("era", ERAS)
def test_structured_data_stands_beside_the_text(mcp: Endpoint, era: str) -> None:
    answer = mcp.call("context_list", {}, era)
    assert answer.structured_content == {"spaces": []}
    assert answer.content[0].text == "You may read no space."


@behaviour("tools.errors.arguments")
@pytest.mark.parametrize("era", ERAS)
def test_wrong_arguments_are_an_answer_to_repair_from(mcp: Endpoint, era: str) -> None:
    answer = mcp.call("box_look", {"n": "3", "more": 1}, era)
    assert answer.is_error
    assert '- at /n: "3" is not of type "integer"' in answer.content[0].text
    assert toolbox.read_trail() == []


@behaviour("tools.errors.unknown")
@pytest.mark.parametrize("era", ERAS)
def test_a_tool_not_granted_is_like_one_that_does_not_exist(
    mcp: Endpoint, era: str, new_key: Callable[..., str]
) -> None:
    key = new_key("run.start", "run.read")
    assert mcp.names(era, key=key) == ["run_result"]
    assert _refusal(mcp, "box_look", era, key) == (-32602, "Unknown tool: box_look")
    assert _refusal(mcp, "box_lock", era, key) == (-32602, "Unknown tool: box_lock")
    assert _refusal(mcp, "agent__nobody", era, key) == (-32602, "Unknown tool: agent__nobody")


def _refusal(mcp: Endpoint, tool: str, era: str, key: str) -> tuple[int, str]:
    from mcp.shared.exceptions import MCPError

    async def call(client: Any) -> tuple[int, str]:
        with pytest.raises(MCPError) as refused:
            await client.call_tool(tool, {"input": "x"} if "agent" in tool else {"n": 1})
        return refused.value.error.code, refused.value.error.message

    return mcp.talk(call, era, key=key)


@behaviour("tools.errors.execution")
def test_a_tool_that_refuses_says_why_in_its_answer(mcp: Endpoint) -> None:
    answer = mcp.call("context_open", {"space": "nowhere", "key": "x"})
    assert answer.is_error
    assert "nowhere" in answer.content[0].text


@behaviour("tools.list.pages")
def test_the_list_of_tools_comes_in_pages(mcp: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.api.mcp import catalogue

    whole = mcp.names()
    monkeypatch.setattr(catalogue, "_PAGE", 3)

    async def read(client: Any) -> list[str]:
        page = await client.list_tools()
        found = list(page.tools)
        while page.next_cursor:
            page = await client.list_tools(cursor=page.next_cursor)
            found += page.tools
        return [tool.name for tool in found]

    assert mcp.talk(read) == whole
    assert mcp.ask("tools/list", cursor="no cursor")["error"]["code"] == -32602


def test_a_long_list_is_offered_as_a_search(
    mcp: Endpoint, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.api.mcp import catalogue
    from tests.runs import save

    save(bench.scope)
    monkeypatch.setattr(catalogue, "LONGEST_LIST", 3)
    assert mcp.names() == ["agent__worker-bee", "call_tool", "run_result", "search_tools"]
    found = mcp.call("search_tools", {"query": "launch", "limit": 1})
    assert [tool["name"] for tool in found.structured_content["tools"]] == ["box_launch"]
    assert found.structured_content["tools"][0]["input_schema"]["required"] == ["n"]
    answer = mcp.call("call_tool", {"name": "box_look", "arguments": {"n": 4}})
    assert answer.content[0].text == "saw 4"
    assert mcp.call("box_look", {"n": 5}).content[0].text == "saw 5"
    wrong = mcp.call("call_tool", {"arguments": {}})
    assert wrong.is_error
    assert '"name" is a required property' in wrong.content[0].text


@behaviour("tools.meta.traceparent")
def test_a_call_is_part_of_its_callers_trace(mcp: Endpoint, bench: Any) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    mcp.talk(lambda client: client.call_tool("box_look", {"n": 1}, meta={"traceparent": parent}))
    assert bench.rows("SELECT traceparent FROM run") == [(parent,)]


def test_clients_of_the_handshake_era_are_told_apart(mcp: Endpoint, bench: Any) -> None:
    for era in (NEW, "legacy", "legacy"):
        mcp.call("box_look", {"n": 1}, era)
    sessions = [session for (session,) in bench.rows("SELECT session FROM run ORDER BY id")]
    assert sessions[0] == ""
    assert "" not in sessions[1:]
    assert sessions[1] != sessions[2]
