"""A run as lines of text: one a step, then the answer with its citations and what it cost."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from apps.orchestration.types.runs import EventType, EventView, RunStatus, RunView
from octavo.kernel import ids

_MARKS = {"ok": ("✓", "green"), "bad": ("✗", "red"), "wait": ("●", "yellow")}


def step_line(event: EventView) -> Text | None:
    """What a finished step did, how long it took and what it used; None for silent events."""
    data = event.data
    match event.type:
        case EventType.CONTEXT_RETRIEVED:
            found = f"{len(data['sources'])} found"
            return _line("ok", event, f"search {', '.join(data['spaces'])}", found)
        case EventType.MODEL_ANSWERED:
            usage = data["usage"]
            tokens = f"{usage['input_tokens']} → {usage['output_tokens']} tokens"
            return _line("ok", event, f"model {data['provider']}/{data['model']}", tokens)
        case EventType.MODEL_FAILED:
            again = data["retry_in"]
            then = "gives up" if again is None else f"again in {again:g} s"
            return _line("bad", event, f"{event.step}: {data['detail']}", then)
        case EventType.TOOL_ANSWERED:
            return _line("bad" if data["is_error"] else "ok", event, f"tool {data['tool']}", "")
        case EventType.HANDED_OFF:
            told = f"handed over to {data['agent']}: {data['why']}"
            return _line("wait", event, told, data["run"])
        case EventType.APPROVAL_REQUESTED:
            asks = f"{data['tool']} waits for approval {data['approval']}: {data['explain']}"
            return _line("wait", event, asks, "")
        case EventType.APPROVAL_DECIDED:
            kind = "ok" if data["status"] == "approved" else "bad"
            return _line(kind, event, f"{data['status']} by {data['by'] or 'nobody'}", "")
        case EventType.EFFECT_UNKNOWN:
            asks = f"{data['tool']} may have happened: someone must say whether it did"
            return _line("wait", event, asks, "")
        case _:
            return None


def _line(kind: str, event: EventView, what: str, used: str) -> Text:
    mark, style = _MARKS[kind]
    took = (event.at - event.started_at).total_seconds()
    facts = "  ".join(part for part in (f"{took:.2f} s" if took else "", used) if part)
    return Text.assemble((mark, style), " ", what, "  ", (facts, "dim"))


def outcome(run: RunView) -> list[Text]:
    """The answer or the reason, then the citations and the account."""
    if run.status is RunStatus.SUCCEEDED and run.output is not None:
        lines = [Text(), Text(run.output["text"])]
        cited = [Text(f"  {citation(found)}") for found in run.output["citations"]]
        if cited:
            lines += [Text(), Text("Sources", style="bold"), *cited]
    else:
        error = run.error or {}
        detail = f": {error['detail']}" if error else "."
        lines = [Text(), Text(f"The run {run.status}{detail}", style="red")]
    return [*lines, Text(), _account(run)]


def citation(found: Mapping[str, Any]) -> str:
    """`space/key:start-end`, in characters of the revision."""
    return f"{found['space']}/{found['key']}:{found['start']}-{found['end']}"


def _account(run: RunView) -> Text:
    tokens = f"{run.input_tokens} → {run.output_tokens} tokens"
    cost = f"{run.cost_usd.normalize():f} USD"
    name = ids.encode(ids.Kind.RUN, run.id)
    return Text(f"{name}  {run.steps} steps  {tokens}  {cost}", style="dim")
