"""Tools over MCP, in both eras of the protocol."""

import pytest

from tests.integration.mcp.conftest import ERAS, Endpoint


@pytest.mark.parametrize("era", ERAS)
def test_a_granted_tool_is_listed_and_called(mcp: Endpoint, era: str) -> None:
    listed = mcp.talk(lambda client: client.list_tools(), era)
    names = [tool.name for tool in listed.tools]
    assert names == sorted(names)
    assert {"box_look", "context_search", "run_result"} <= set(names)
    answer = mcp.call("box_look", {"n": 3}, era)
    assert (answer.content[0].text, answer.is_error) == ("saw 3", False)
    assert answer.meta["octavo/run"].startswith("run_")
