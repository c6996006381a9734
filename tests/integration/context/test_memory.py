"""What agents remember: blocks in the prompt, decisions, doubts, tidying that a person reviews."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.context import selectors
from apps.context.services import merging, remembering, spaces, tidying
from apps.context.types import EntryKind, FlagKind
from apps.tools import registry, validation
from apps.tools.types import ToolContext, ToolResult
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, InvalidInput, NotFound


@pytest.fixture
def call(scope: Any, space: str) -> Callable[..., ToolResult]:
    def perform(name: str, *, step: str, **arguments: Any) -> ToolResult:
        tool = registry.tool(f"memory_{name}")
        given = {"space": space, "why": "test", **arguments}
        assert not validation.explain_instance(tool.input_schema, given)
        assert tool.handler is not None
        run = scope.acting_as(scope.principal, run_id=run_id)
        return tool.handler(ToolContext(scope=run, step=step, idempotency_key=step), given)

    run_id = ids.new()
    return perform


def texts(scope: Any, agent: str = "") -> dict[str, str]:
    found = selectors.get_core_memory(scope=scope, spaces=["notes"], agent=agent)
    return {f"{block.agent}/{block.name}": block.text for block in found}


def test_blocks_are_shared_or_of_one_agent_and_edited_with_a_reason(
    scope: Any, call: Callable[..., ToolResult]
) -> None:
    for _ in range(2):  # a step that is tried again writes once
        call("append", block="team", text="Ask for the order number.", step="s1")
    call("append", block="team", text="Sign with a first name.", step="s2")
    call("replace", block="team", old="a first name", new="the full name", step="s3")
    remembering.write_block(
        scope=scope, space="notes", name="plan", text="Tide first.", why="w", agent="clerk"
    )
    shared = "Ask for the order number.\nSign with the full name."
    assert texts(scope) == {"/team": shared}
    assert texts(scope, "clerk") == {"/team": shared, "clerk/plan": "Tide first."}
    assert texts(scope, "other") == {"/team": shared}
    remembering.append_to_block(
        scope=scope, space="notes", name="plan", text="Then the lamp.", why="w", agent="clerk"
    )
    assert texts(scope, "clerk")["clerk/plan"].endswith("lamp.")
    history = selectors.list_revisions(scope=scope, space="notes", key="core/team")
    assert [revision.number for revision in history] == [3, 2, 1]
    with pytest.raises(InvalidInput, match="0 times"):
        call("replace", block="team", old="no such words", new="x", step="s4")
    with pytest.raises(NotFound, match="There are: team"):
        call("replace", block="goals", old="a", new="b", step="s5")


def test_a_block_holds_no_more_than_its_limit(scope: Any, write: Callable[..., Any]) -> None:
    remembering.write_block(
        scope=scope, space="notes", name="plan", text="short", why="w", limit=10, about="Next."
    )
    with pytest.raises(InvalidInput, match="the block holds 10"):
        remembering.append_to_block(
            scope=scope, space="notes", name="plan", text="and too long", why="w"
        )
    with pytest.raises(InvalidInput, match="the block holds 10"):
        write("core/plan", "x" * 11, kind=EntryKind.BLOCK, metadata={"limit": 10})
    with pytest.raises(InvalidInput, match="key"):
        write("elsewhere", "x", kind=EntryKind.BLOCK)
    (block,) = selectors.get_core_memory(scope=scope, spaces=["notes"])
    assert (block.text, block.limit, block.about, block.revision) == ("short", 10, "Next.", 1)


def test_a_decision_keeps_its_evidence_and_learns_its_outcome(
    scope: Any, call: Callable[..., ToolResult]
) -> None:
    evidence = [{"space": "notes", "key": "a", "revision": 1}]
    alternatives = [{"option": "Friday", "reason": "Nobody is there."}]
    for step, outcome in (("s1", ""), ("s2", "It went well.")):
        call(
            "decide",
            decided="Ship on Monday",
            alternatives=alternatives,
            evidence=evidence,
            outcome=outcome,
            key="decisions/ship",
            step=step,
        )
    entry = selectors.get_entry(scope=scope, space="notes", key="decisions/ship")
    assert entry.kind is EntryKind.DECISION
    assert list(entry.revision.sources) == evidence
    assert entry.metadata["alternatives"] == alternatives
    assert "- Not Friday: Nobody is there." in entry.text
    assert "Outcome: It went well." in entry.text
    assert entry.revision.number == 2
    run = scope.acting_as(scope.principal, run_id=ids.new())
    remembering.record_episode(scope=run, space="notes", summary="Asked, answered.", why="w")
    (episode,) = selectors.list_entries(scope=scope, space="notes", prefix="episodes/run_")
    assert episode.kind is EntryKind.EPISODE


def test_what_is_doubtful_is_told(scope: Any, write: Callable[..., Any]) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    about = {"subject": "refund limit", "attribute": "usd"}
    write("source", "The limit is 100.")
    cited = {"sources": [{"space": "notes", "key": "source", "revision": 1}], "kind": "fact"}
    write("a", "Limit 100.", metadata={**about, "value": 100}, **cited)
    write("b", "Limit 200.", metadata={**about, "value": 200}, kind=EntryKind.FACT)
    write("c", "Limit 50.", metadata={**about, "value": 50}, kind=EntryKind.FACT, valid_to=past)
    write(
        "d", "No number.", sources=[{"space": "secret", "key": "x", "revision": "1"}, {"url": ""}]
    )
    write("source", "The limit is 200.")
    flags = selectors.list_flags(scope=scope, space="notes")
    assert {(flag.key, flag.kind) for flag in flags} == {
        ("a", FlagKind.SOURCE_CHANGED),
        ("a", FlagKind.CONTRADICTION),
        ("b", FlagKind.CONTRADICTION),
        ("c", FlagKind.OUTDATED),
    }
    assert flags[0].other == {"space": "notes", "key": "b", "revision": 1}


def test_tidying_is_a_proposal_until_a_person_merges_it(
    scope: Any, write: Callable[..., Any], embedder: Any
) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    notes = {
        "n1": "The customer wants invoices by mail, not as paper.",
        "n2": "The customer wants invoices by mail, not as paper.",
        "n3": "The customer wants invoices by mail not as paper",
        "n4": "Refunds over 100 need two.",
        "n5": "Refunds over 200 need two.",
    }
    for key, text in notes.items():
        write(key, text, kind=EntryKind.MEMORY)
    write("old", "It holds no more.", kind=EntryKind.FACT, valid_to=past)
    proposed = tidying.propose_tidying(scope=scope, space="notes")
    assert proposed.branch == "notes.tidy-6"
    changes = {change.key: change.kind.value for change in proposed.changes}
    assert changes == {"n1": "remove", "n2": "remove", "n3": "revise", "old": "remove"}
    assert selectors.get_space(scope=scope, name="notes").entries == 6
    with pytest.raises(Conflict, match="close it first"):
        tidying.propose_tidying(scope=scope, space="notes")
    merging.merge_branch(scope=scope, space="notes", branch="notes.tidy-6", why="reviewed")
    kept = selectors.get_entry(scope=scope, space="notes", key="n3")
    assert {source["key"] for source in kept.revision.sources} == {"n1", "n2"}
    assert selectors.get_space(scope=scope, name="notes").entries == 3
    assert tidying.propose_tidying(scope=scope, space="notes").branch is None


def test_a_proposal_that_is_refused_changes_nothing(scope: Any, write: Callable[..., Any]) -> None:
    for key in ("n1", "n2"):
        write(key, "Said twice.", kind=EntryKind.MEMORY)
    branch = tidying.propose_tidying(scope=scope, space="notes").branch
    assert branch
    merging.close_branch(scope=scope, branch=branch, why="both are needed")
    assert selectors.get_space(scope=scope, name="notes").entries == 2
    with pytest.raises(Conflict):
        merging.merge_branch(scope=scope, space="notes", branch=branch, why="after all")
    spaces.create_space(scope=scope, name="plain")
    with pytest.raises(InvalidInput, match="no branch"):
        merging.close_branch(scope=scope, branch="plain", why="w")
