"""What forks, comparisons, replays and reports say of the histories of runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from apps.orchestration.types.runs import EventType, RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What a step of a fork shall have come out as, in place of what it did.

    `output` is the text of a model's or a tool's answer; or, for a model, `{"content"?,
    "tool_calls"?: [{"name", "arguments"}]}`, and for a tool `{"content", "structured"?,
    "is_error"?}`.
    """

    step: str
    output: str | Mapping[str, Any]


class Part(StrEnum):
    """In what two runs may differ at a step."""

    PRESENCE = "presence"
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One run's part of a pair of steps. `input` is what was asked: of a prompt, the messages that
    are new in it.
    """

    seq: int
    type: EventType
    input: Any
    output: Any
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    duration_ms: int
    inherited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPair:
    """The same step of two runs; one side is None where a run has no such step."""

    step: str
    differs: tuple[Part, ...]
    a: Side | None
    b: Side | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """Two runs side by side: alike in their first `shared_steps`, if not in more."""

    a: RunView
    b: RunView
    shared_steps: int
    first_difference: str | None
    steps: tuple[StepPair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Something that the run had read when it decided: from which tool or space, how trusted."""

    step: str
    source: str
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One decision of a run. `chosen` is `{"tool", "arguments"}` or `{"answer"}`; `evidence` names
    the context revisions read until then; `outcome` is what the policies said.
    """

    step: str
    offered: tuple[str, ...]
    chosen: Mapping[str, Any]
    rationale: str
    evidence: tuple[Mapping[str, Any], ...]
    provenance: tuple[Provenance, ...]
    policies: tuple[str, ...]
    outcome: str
    approver: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What became of a report: events that are new, and events that were there already."""

    run: RunView
    accepted: int
    repeated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a journal and the code part: what the code asks, and what the journal says."""

    seq: int
    step: str
    expected: Mapping[str, Any]
    recorded: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Whether the whole journal folds as it was written."""

    equal: bool
    first_difference: Difference | None
    events: int
