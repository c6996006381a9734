"""The MCP Inspector's command line against Octavo as it is, as a person would try it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.mcp.conftest import Run

INSPECTOR = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"


@pytest.fixture
def inspect(
    run: Run, serve: Callable[[str], str], installation: Any
) -> Callable[..., tuple[int, str]]:
    url = serve("octavo.asgi:application")

    def ask(*arguments: str, key: str = installation.issued_key.secret) -> tuple[int, str]:
        header = ("--header", f"Authorization: Bearer {key}") if key else ()
        target = ("--cli", url, "--transport", "http", *header)
        done = run(INSPECTOR, *target, "--method", *arguments)
        return done.returncode, done.stdout or done.stderr

    return ask


def test_the_inspector_lists_calls_and_is_told_what_is_wrong(
    inspect: Callable[..., tuple[int, str]],
) -> None:
    failed, text = inspect("tools/list")
    assert not failed, text
    names = [tool["name"] for tool in json.loads(text)["tools"]]
    assert {"context_list", "context_search", "run_result"} <= set(names)

    failed, text = inspect("tools/call", "--tool-name", "context_list")
    assert not failed, text
    assert json.loads(text)["structuredContent"] == {"spaces": []}

    wrong = ("--tool-arg", "limit=0", "--tool-arg", "query=x")
    _, text = inspect("tools/call", "--tool-name", "context_search", *wrong)
    assert "at /limit: 0 is less than the minimum of 1" in text

    failed, text = inspect("tools/list", key="")
    assert failed
    assert json.loads(text)["error"]["code"] == "auth_required"
