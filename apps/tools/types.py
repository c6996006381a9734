"""What a tool is and what calling it means: schema, risk, egress, effect, trust."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from apps.governance.types import Action, Resource
from octavo.kernel.errors import Unavailable
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


ProgressSink = Callable[[float, float | None, str], None]
"""Told how far a call is: done so far, of how much (None when nobody knows), and a word about it.

Called on the I/O loop; must return at once.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool knows of a call: whose, where in a run, its key across attempts.

    `approved`: a person approved exactly this call, which what it touches may be told.
    `traceparent`: the W3C trace context of the step, for whoever is called.
    """

    scope: Scope
    step: str
    idempotency_key: str
    approved: bool = False
    on_progress: ProgressSink | None = None
    traceparent: str = ""


class Waits(StrEnum):
    """What a run waits for in a tool that the engine carries out by itself."""

    INPUT = "input"
    TIME = "time"
    SIGNAL = "signal"
    RUN = "run"
    HANDOFF = "handoff"


Handler = Callable[[ToolContext, Mapping[str, Any]], ToolResult]
Sender = Callable[[ToolContext, Mapping[str, Any]], Awaitable[ToolResult]]
Touches = Callable[[ToolContext, Mapping[str, Any]], tuple[tuple[Action, Resource], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinTool:
    """A tool that a layer registers in `AppConfig.ready()`.

    One of `handler`, which is synchronous and owns its transaction; `send`, which runs on the I/O
    loop and touches no database; and `waits`, where the engine parks the run. `touches` names what
    a call acts on beside the tool itself.
    """

    name: str
    description: str
    input_schema: Mapping[str, Any]
    risk: Risk
    egress: bool
    effect: Effect
    handler: Handler | None = None
    send: Sender | None = None
    waits: Waits | None = None
    touches: Touches | None = None
    output_schema: Mapping[str, Any] | None = None
    trust: Trust = Trust.TRUSTED
    timeout: timedelta = timedelta(seconds=30)
    result_cap: int = 32_000


class ToolSource(Protocol):
    """Tools that a layer above keeps for each project, granted only by patterns with its prefix.

    All of them by name, or the one of `name`.
    """

    def __call__(self, *, scope: Scope, name: str | None = None) -> list["ToolView"]: ...


class ToolState(StrEnum):
    """Whether a definition may be used: an upstream's waits for a person until it is approved, and
    is quarantined when the upstream changes it afterwards.
    """

    APPROVED = "approved"
    PENDING = "pending"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolView:
    """`definition_hash`: SHA-256 of all that a model or a person is shown of the tool.

    `is_remote`: a call goes over the network (`prepare`, `send`), else it runs in this process,
    unless it `waits`. `warnings`: what in the definition looks as if it were written to steer a
    model. `missing_since`: its server no longer lists it.
    """

    id: UUID
    name: str
    description: str
    input_schema: Mapping[str, Any]
    risk: Risk
    egress: bool
    effect: Effect
    trust: Trust
    server: str
    state: ToolState
    definition_hash: str
    title: str = ""
    output_schema: Mapping[str, Any] | None = None
    timeout: timedelta = field(default=timedelta(seconds=30))
    is_remote: bool = False
    waits: Waits | None = None
    warnings: tuple[str, ...] = ()
    missing_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A tool as its server describes it. `problem`: why it cannot be used, "" when it can.

    `annotations` are the server's own claims about the tool: shown to people, never believed.
    """

    name: str
    title: str
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None
    annotations: Mapping[str, Any]
    hash: str
    warnings: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReview:
    """What a person needs to judge a tool. `reason`: why it is not offered, "" when it is.

    `pinned` and `seen` differ when the server has changed a definition; else `seen` is None.
    """

    tool: ToolView
    upstream_name: str
    annotations: Mapping[str, Any]
    reason: str
    pinned: Definition | None = None
    seen: Definition | None = None
    approved_by: str = ""
    approved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """What a person says about a tool; None keeps what was said before.

    Of a new tool nothing is known, so it is taken to write, to send data out, to be unsafe to
    repeat, and not to be trusted.
    """

    risk: Risk | None = None
    egress: bool | None = None
    effect: Effect | None = None
    trust: Trust | None = None
    timeout: timedelta | None = None


class Transport(StrEnum):
    """How a server is reached: over Streamable HTTP, or as a process that Octavo starts."""

    HTTP = "http"
    STDIO = "stdio"


class Health(StrEnum):
    """What the last contact with a server showed."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    FAILING = "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where a server is and with what credential it is spoken to.

    Connections are kept by this value, so that no credential ever uses another's. `server_id` keeps
    projects apart.
    """

    server_id: UUID
    server: str
    transport: Transport
    url: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """What a person says about a server; `env` and `token` are sealed and never shown again."""

    name: str
    transport: Transport
    url: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a server said about itself and its tools, all of them. `software`: name and version."""

    protocol_version: str
    software: str
    definitions: tuple[Definition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerView:
    """A server without its secrets. `tools` counts its tools by state, and `changed` and `missing`
    ones among them.
    """

    id: UUID
    name: str
    transport: Transport
    url: str
    command: str
    args: tuple[str, ...]
    env_names: tuple[str, ...]
    has_token: bool
    enabled: bool
    health: Health
    last_error: str
    checked_at: datetime | None
    protocol_version: str
    software: str
    tools: Mapping[str, int]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedToolCall:
    """A call that policy allowed, with all that `send` needs of the database.

    `upstream` is None for a built-in tool, and for one that may no longer be called: `refusal` then
    says why.
    """

    context: ToolContext
    tool: ToolView
    arguments: Mapping[str, Any]
    upstream: Upstream | None = None
    upstream_name: str = ""
    result_cap: int = 32_000
    refusal: str = ""


class ToolUnavailable(Unavailable):
    """A tool gave no answer. `was_sent`: the call may have happened all the same."""

    code, title = "tool-unavailable", "Tool unavailable"

    def __init__(self, detail: str, *, was_sent: bool) -> None:
        super().__init__(detail)
        self.was_sent = was_sent


class EffectState(StrEnum):
    """What is known of an unsafe call: it is about to happen, it happened, or nobody can tell."""

    INTENT = "intent"
    DONE = "done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadArguments:
    """Arguments that do not fit a tool's schema, as lines that a model can repair from.

    `- at /days: "3" is not of type "integer"`.
    """

    lines: tuple[str, ...]
