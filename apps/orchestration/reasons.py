"""Why a run did what it did: read from its journal and its recorded decisions, never made up later.

The reasons are those that the model gave when it chose, and the policies those that answered then.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.agents.types import HANDOFF_PREFIX
from apps.governance.types import Action, RecordedDecision
from apps.orchestration.types.histories import Explained, Provenance
from apps.orchestration.types.runs import EventType, EventView, RunView


def explain(
    run: RunView, events: Sequence[EventView], recorded: Sequence[RecordedDecision]
) -> list[Explained]:
    """One entry for each call of a tool and for the answer, in the order in which they came."""
    story = _Story(recorded)
    found = [entry for event in events if (entry := story.read(event)) is not None]
    return [*found, *story.answer_of(run)]


class _Story:
    """What the run had seen and been told before each of its decisions."""

    def __init__(self, recorded: Sequence[RecordedDecision]) -> None:
        self._recorded = recorded
        self._seen: list[Provenance] = []
        self._evidence: list[Mapping[str, Any]] = []
        self._offered: tuple[str, ...] = ()
        self._said = ""
        self._last_step = ""
        self._approvers: dict[str, str] = {}

    def read(self, event: EventView) -> Explained | None:
        data = event.data
        match event.type:
            case EventType.CONTEXT_RETRIEVED:
                for source in data["sources"]:
                    self._see(event.step, ", ".join(data["spaces"]), source["trust"])
                self._cite(source["citation"] for source in data["sources"])
                self._last_step = event.step
            case EventType.MODEL_ANSWERED:
                self._offered = tuple(data["offered"])
                self._said, self._last_step = data["message"]["content"], event.step
            case EventType.APPROVAL_DECIDED:
                self._approvers[event.step] = data["by"]
            case EventType.TOOL_ANSWERED:
                decision = data.get("decision") or {}
                entry = self._call(event.step, data["tool"], data["arguments"], decision)
                self._see(event.step, data["tool"], data["trust"])
                self._cite(data["evidence"])
                return entry
            case EventType.HANDED_OFF:
                tool = f"{HANDOFF_PREFIX}{data['agent']}"
                return self._call(event.step, tool, {"why": data["why"]}, {})
        return None

    def _call(self, step: str, tool: str, arguments: Any, decision: Mapping[str, Any]) -> Explained:
        asked = [d for d in self._recorded if d.step == step and d.action == Action.TOOL_CALL]
        named = [name for one in asked for name in one.policies] or decision.get("policies", ())
        outcome = decision.get("outcome") or (asked[-1].outcome if asked else "")
        return Explained(
            step=step,
            offered=self._offered,
            chosen={"tool": tool, "arguments": arguments},
            rationale=self._said,
            evidence=tuple(self._evidence),
            provenance=tuple(self._seen),
            policies=tuple(dict.fromkeys(named)),
            outcome=str(outcome),
            approver=self._approvers.get(step),
        )

    def answer_of(self, run: RunView) -> list[Explained]:
        """The answer rests on what it cites. Another agent's is for its own run to explain."""
        if run.output is None or run.tool or "answered_by" in run.output:
            return []
        cited = {_named(citation) for citation in run.output.get("citations", ())}
        return [
            Explained(
                step=self._last_step,
                offered=self._offered,
                chosen={"answer": run.output["text"]},
                rationale=self._said,
                evidence=tuple(e for e in self._evidence if _named(e) in cited),
                provenance=tuple(self._seen),
                policies=(),
                outcome="",
                approver=None,
            )
        ]

    def _see(self, step: str, source: str, trust: str) -> None:
        seen = Provenance(step=step, source=source, trust=trust)
        if seen not in self._seen:
            self._seen.append(seen)

    def _cite(self, citations: Any) -> None:
        for citation in citations:
            evidence = {name: citation.get(name) for name in ("space", "key", "revision")}
            if evidence not in self._evidence:
                self._evidence.append(evidence)


def _named(citation: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(citation.get(name) for name in ("space", "key", "revision"))
