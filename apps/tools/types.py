"""What a tool is and what calling it means: schema, risk, egress, effect, trust."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from octavo.kernel.scope import Scope


class Risk(StrEnum):
    READ = "read"
    WRITE = "write"
    IRREVERSIBLE = "irreversible"


class Effect(StrEnum):
    """How a call may be repeated after a crash.

    `pure`: freely. `same_database`: commits together with the journal event, so never. `keyed`:
    with its idempotency key. `unsafe`: never by itself; a crash between intent and result is
    `unknown` and asks.
    """

    PURE = "pure"
    SAME_DATABASE = "same_database"
    KEYED = "keyed"
    UNSAFE = "unsafe"


class Trust(StrEnum):
    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """`text` is what the model reads. `evidence` names the context revisions it rests on."""

    text: str
    structured: Mapping[str, Any] | None = None
    is_error: bool = False
    trust: Trust = Trust.UNTRUSTED
    evidence: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a built-in tool knows of a call: whose, where in a run, its key across attempts."""

    scope: Scope
    step: str
    idempotency_key: str


Handler = Callable[[ToolContext, Mapping[str, Any]], ToolResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinTool:
    """A tool that a layer above registers in `AppConfig.ready()`.

    `handler` is synchronous and owns its transaction.
    """

    name: str
    description: str
    input_schema: Mapping[str, Any]
    handler: Handler
    risk: Risk
    egress: bool
    effect: Effect
    trust: Trust = Trust.TRUSTED
    timeout: timedelta = timedelta(seconds=30)
    result_cap: int = 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolView:
    """`definition_hash`: SHA-256 of the canonical name, description and schema."""

    id: UUID
    name: str
    description: str
    input_schema: Mapping[str, Any]
    risk: Risk
    egress: bool
    effect: Effect
    trust: Trust
    server: str
    state: str
    definition_hash: str
    output_schema: Mapping[str, Any] | None = None
    timeout: timedelta = field(default=timedelta(seconds=30))


class EffectState(StrEnum):
    """What is known of an unsafe call: it is about to happen, it happened, or nobody can tell."""

    INTENT = "intent"
    DONE = "done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectView:
    """The ledger's line for one step of a run."""

    run_id: UUID
    step: str
    tool: str
    idempotency_key: str
    state: EffectState


@dataclass(frozen=True, slots=True, kw_only=True)
class BadArguments:
    """Arguments that do not fit a tool's schema, as lines that a model can repair from.

    `- at /days: "3" is not of type "integer"`.
    """

    lines: tuple[str, ...]
