"""How the result of a tool call gets into the journal, whoever gave it."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.inference.types import ToolCall
from apps.orchestration import drafts
from apps.orchestration.activation import Activation
from apps.orchestration.records import dump
from apps.tools.types import ToolResult, Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One call at one step, with the arguments it is made with and what allowed it (the data of
    `drafts.permission`).
    """

    step: str
    call: ToolCall
    arguments: Mapping[str, Any] | str
    decision: Mapping[str, Any] | None = None
    approval: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted(Made):
    """A call that may be made now."""

    arguments: Mapping[str, Any]


def refusal(text: str) -> ToolResult:
    """A result in Octavo's own words, for the model to read."""
    return ToolResult(text=text, is_error=True, trust=Trust.TRUSTED)


def record_answer(
    activation: Activation,
    made: Made,
    result: ToolResult,
    *,
    began: float | None = None,
    also: Callable[[], None] | None = None,
) -> None:
    """Journal the result; `also` is written in the same transaction."""
    progress = activation.state.progress(made.step)
    draft = drafts.tool_answered(
        made.step,
        made.call,
        result,
        arguments=made.arguments,
        digest=digest_of(made.call.name, made.arguments, result.text),
        decision=made.decision,
        approval=made.approval,
        attempt=max(progress.attempt, progress.failures + 1),
        took=0.0 if began is None else time.monotonic() - began,
    )
    activation.record(draft, also=also)


def idempotency_key(activation: Activation, step: str) -> str:
    """The same for every attempt at this step, and for no other."""
    return hashlib.sha256(f"{activation.run.id}:{step}".encode()).hexdigest()


def digest_of(tool: str, arguments: Mapping[str, Any] | str, text: str) -> str:
    """Equal for the same call with the same result: what the loop guard counts."""
    return hashlib.sha256(dump([tool, arguments, text])).hexdigest()[:16]
