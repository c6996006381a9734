"""A dry run touches nothing outside: what its tools say is what they said in the run it forked."""

from collections.abc import Mapping
from typing import Any

from apps.orchestration import drafts, journal
from apps.orchestration.records import Record, RunFacts, dump
from apps.orchestration.steps.answering import Made, refusal
from apps.orchestration.types.runs import EventType
from apps.tools.types import ToolResult, Trust
from octavo.kernel import ids


def find_answer(run: RunFacts, made: Made) -> ToolResult | None:
    """The recorded answer to the same call, the n-th to the n-th time that it is made; None for a
    call that the parent never made.
    """
    assert run.forked_from is not None  # noqa: S101  only a fork is a dry run
    wanted = dump([made.call.name, made.arguments])
    known = [record for record in journal.read_events(run.forked_from) if _asks(record) == wanted]
    if not known:
        return None
    times = sum(_asks(record) == wanted for record in journal.read_events(run.id))
    record = known[min(times, len(known) - 1)]
    return _result(_whole(run, record))


def find_hand_off(run: RunFacts, *, agent: str, why: str) -> Mapping[str, Any] | None:
    """How the run ended that `agent` went on with for that reason; None if the parent's journal
    tells of no such end.
    """
    assert run.forked_from is not None  # noqa: S101  only a fork is a dry run
    records = journal.read_events(run.forked_from)
    steps = {
        record.step
        for record in records
        if record.type is EventType.HANDED_OFF
        and (record.data["agent"], record.data["why"]) == (agent, why)
    }
    for record in records:
        if record.type is EventType.CHILD_FINISHED and record.step in steps:
            return _whole(run, record)
    return None


def refuse(run: RunFacts, made: Made) -> ToolResult:
    """What stands for an answer that is not known, in words that a model can go on with."""
    assert run.forked_from is not None  # noqa: S101  only a fork is a dry run
    parent = ids.encode(ids.Kind.RUN, run.forked_from)
    return refusal(
        f"This is a dry run, so {made.call.name} was not called: the journal of {parent} "
        "has no answer to it with these arguments. Go on without it."
    )


def _asks(record: Record) -> bytes | None:
    if record.type is not EventType.TOOL_ANSWERED:
        return None
    return dump([record.data["tool"], record.data["arguments"]])


def _whole(run: RunFacts, record: Record) -> dict[str, Any]:
    contents = journal.read_blobs(run.organisation_id, drafts.blob_names(record.type, record.data))
    return drafts.fill(record.type, record.data, contents)


def _result(data: dict[str, Any]) -> ToolResult:
    return ToolResult(
        text=data["message"]["content"],
        structured=data.get("structured"),
        is_error=data["is_error"],
        trust=Trust(data["trust"]),
        evidence=tuple(data["evidence"]),
    )
