"""The tools of the store: cited, logged for a run, asked about beforehand where they change it."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.context import selectors
from apps.context.services import versions
from apps.context.tools import changing, reading
from apps.governance.types import Action
from apps.tools import registry, validation
from apps.tools.types import ToolContext, ToolResult
from octavo.kernel import ids


@pytest.fixture
def call(scope: Any, write: Callable[..., Any]) -> Callable[..., ToolResult]:
    """Calls a tool by name as a step of a run, its arguments checked as for an agent."""
    run = scope.acting_as(scope.principal, run_id=ids.new())
    write("guide.py", "def parse_header(raw):\n    return raw.split(':')\n")
    write("notes.md", "Refunds over $100 need a second pair of eyes.")

    def perform(name: str, *, step: str = "s", **arguments: Any) -> ToolResult:
        tool = registry.tool(f"context_{name}")
        assert not validation.explain_instance(tool.input_schema, arguments)
        assert tool.handler is not None
        context = ToolContext(scope=run, step=step, idempotency_key=step)
        return tool.handler(context, arguments)

    return perform


def test_grep_finds_lines_as_they_are_written(call: Callable[..., ToolResult]) -> None:
    found = call("grep", text="parse_header(")
    assert found.text == "notes/guide.py:1: def parse_header(raw):"
    assert found.evidence == ({"space": "notes", "key": "guide.py", "revision": 1},)
    assert "No line" in call("grep", text="PARSE_HEADER").text
    assert "guide.py:1" in call("grep", text="PARSE_HEADER", ignore_case=True).text
    assert "No line" in call("grep", text="parse_header", prefix="notes").text


def test_pack_search_and_open_name_their_evidence(call: Callable[..., ToolResult]) -> None:
    assert call("pack", query="refunds", budget_tokens=100).evidence
    assert call("search", query="refunds", filter={"key": {"prefix": "notes"}}).evidence
    call("write", space="notes", key="notes.md", content="Changed.", why="test", step="w")
    old = call("open", space="notes", key="notes.md", revision=1)
    assert old.text.startswith("Refunds")
    assert old.evidence == ({"space": "notes", "key": "notes.md", "revision": 1},)


def test_history_diff_and_rollback_go_together(scope: Any, call: Callable[..., ToolResult]) -> None:
    call("write", space="notes", key="notes.md", content="Changed.", why="it was old", step="w")
    assert "it was old" in call("history", space="notes", key="notes.md").text
    assert "+Changed." in call("diff", space="notes", key="notes.md").text
    done = call("rollback", space="notes", to=2, why="it was right", step="r")
    again = call("rollback", space="notes", to=2, why="it was right", step="r")
    assert done.structured is not None
    assert again.structured is not None
    assert done.structured["seq"] == again.structured["seq"] == 4
    entry = selectors.get_entry(scope=scope, space="notes", key="notes.md")
    assert entry.text.startswith("Refunds")
    assert (entry.revision.number, entry.revision.restores) == (3, 1)


def test_who_read_an_entry_is_told(scope: Any, call: Callable[..., ToolResult]) -> None:
    call("search", query="refunds", step="a")
    call("open", space="notes", key="notes.md", step="b")
    call("grep", text="Refunds", step="c")
    readings = selectors.list_readings(scope=scope, space="notes", key="notes.md")
    assert [(reading.step, reading.rank > 0) for reading in readings] == [
        ("c", False),
        ("b", False),
        ("a", True),
    ]
    older = selectors.list_readings(
        scope=scope, space="notes", key="notes.md", before=readings[0].id, limit=1
    )
    assert older == readings[1:2]
    assert selectors.list_readings(scope=scope, space="notes", key="notes.md", revision=9) == []


@pytest.mark.parametrize("tool", changing.TOOLS, ids=lambda tool: tool.name)
def test_a_tool_that_changes_a_space_names_it_beforehand(scope: Any, space: str, tool: Any) -> None:
    context = ToolContext(scope=scope, step="s", idempotency_key="s")
    ((action, resource),) = tool.touches(context, {"space": space})
    assert (action, resource.name) == (Action.CONTEXT_WRITE, "notes")
    assert tool.touches(context, {"space": "nowhere"}) == ()


def test_policy_is_told_of_an_approval(scope: Any, space: str) -> None:
    from apps.governance import selectors as governance

    for approved in (False, True):
        run_id = ids.new()
        run = scope.acting_as(scope.principal, run_id=run_id)
        context = ToolContext(scope=run, step="s", idempotency_key="s", approved=approved)
        arguments = {"space": space, "key": f"{approved}", "content": "c", "why": "w"}
        changing.write(context, arguments)
        decision = governance.list_decisions(run_id=run_id)[0]
        assert decision.action == Action.CONTEXT_WRITE
        assert decision.facts["approved"] is approved
    assert all(tool.touches is None for tool in reading.TOOLS)
    assert versions.preview_rollback(scope=scope, space=space, to=0).changes
