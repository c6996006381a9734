"""Which tools a few words find."""

from typing import Any

import mcp_types as t

from apps.api.mcp import finding


def tool(name: str, description: str = "", **parameters: str) -> t.Tool:
    properties: dict[str, Any] = {
        parameter: {"type": "string", "description": text} for parameter, text in parameters.items()
    }
    return t.Tool(
        name=name,
        description=description,
        input_schema={"type": "object", "properties": properties},
    )


TOOLS = [
    tool("github__create_issue", "Open a new issue in a repository.", title="Title of the issue"),
    tool("github__list_issues", "Issues of a repository, newest first."),
    tool("mail__sendMessage", "Send an e-mail.", recipients="Addresses of the recipients"),
    tool("weather", "Forecast for the next days.", city="Name of the city"),
]


def found(query: str, limit: int = 5) -> list[str]:
    return [tool.name for tool in finding.find(TOOLS, query, limit=limit)]


def test_names_count_most() -> None:
    assert found("create an issue")[0] == "github__create_issue"
    assert found("list issues")[0] == "github__list_issues"


def test_descriptions_and_parameters_are_searched() -> None:
    assert found("forecast") == ["weather"]
    assert found("recipient") == ["mail__sendMessage"]


def test_words_are_the_same_however_they_are_written() -> None:
    assert found("MESSAGE") == found("send messages")[:1] == ["mail__sendMessage"]


def test_what_shares_no_word_is_not_found() -> None:
    assert found("quantum chromodynamics") == []
    assert found("") == []
    assert finding.find([], "anything", limit=5) == []


def test_no_more_are_found_than_asked_for() -> None:
    assert len(found("repository issue", limit=1)) == 1
