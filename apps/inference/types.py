"""What goes into a model and what comes out, in the terms of the chat completions protocol."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from apps.governance.types import Decision, Reservation
from apps.model_registry.types import ModelKind, Target
from apps.observability.types import TraceParent
from octavo.kernel import ids
from octavo.kernel.errors import UpstreamFailed
from octavo.kernel.scope import Scope

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """`arguments` is the JSON text as the model wrote it: it may be invalid."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`tool_call_id` on a `tool` message names the call it answers."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOffer:
    name: str
    description: str
    input_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """`json_schema` constrains the answer; `max_tokens` bounds it, and so the reservation."""

    messages: tuple[Message, ...]
    tools: tuple[ToolOffer, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    max_tokens: int = 1024
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResult:
    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    usage: TokenUsage
    model: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled[T]:
    """A result with the usage row it was booked under."""

    result: T
    usage_id: UUID
    cost_usd: Decimal
    decision_id: UUID


@dataclass(slots=True, kw_only=True)
class Attempt:
    """What one target has used so far: nothing before its answer began, estimated until counted.

    Written on the I/O loop while the call is sent, read when it is settled.
    """

    target: Target
    usage: TokenUsage = TokenUsage()
    is_answered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCall[R]:
    """A call that policy allowed and budgets cover. Send it, then settle it, whatever happens.

    `attempts` fills as it is sent: settling books also what answers that broke off have used.
    `usage_id` is the row that it will be booked under.
    """

    scope: Scope
    route: str
    kind: ModelKind
    request: R
    targets: tuple[Target, ...]
    credentials: tuple[str, ...]
    decision: Decision
    reservation: Reservation
    step: str = ""
    trace: TraceParent | None = None
    usage_id: UUID = field(default_factory=ids.new)
    attempts: list[Attempt] = field(default_factory=list, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingResult:
    """`vectors[i]` belongs to `texts[i]`; L2-normalised, `dimensions` long."""

    vectors: tuple[tuple[float, ...], ...]
    usage: TokenUsage
    model: str
    model_id: UUID
    provider: str
    dimensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankRequest:
    query: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankResult:
    """`scores[i]` belongs to `texts[i]`; how large they are is the model's own affair."""

    scores: tuple[float, ...]
    usage: TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLoad:
    """What a server says of its work; shares are from 0 to 1, None where it does not say."""

    running: int
    waiting: int
    kv_cache_use: float | None = None
    prefix_hit_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """A look at a provider now. `problem` says why it is of no use, "" where it answers.

    `models` are the names that it lists; `version` and `load` are what vLLM says beside.
    """

    provider: str
    latency_ms: int
    problem: str = ""
    models: tuple[str, ...] = ()
    version: str = ""
    load: ServerLoad | None = None

    @property
    def is_answering(self) -> bool:
        return not self.problem


DeltaSink = Callable[[str], None]
"""Called on the I/O loop with each piece of text as it arrives; must return at once.

What it raises ends the call and closes its connection.
"""


ProtocolBody = Mapping[str, Any]
"""The body of `POST /chat/completions`, as a caller that speaks the protocol sent it."""

ChunkSink = Callable[[dict[str, Any]], Awaitable[None]]
"""Awaited on the I/O loop with each chunk of a streamed answer; slow ones slow the provider down.

What it raises ends the call and closes its connection.
"""


class RequestRefused(UpstreamFailed):
    """The provider finds the request itself wrong, in `param` and by `reason` where it says so."""

    status, code, title = 502, "upstream-failed", "Upstream failed"

    def __init__(self, detail: str, *, upstream_status: int, param: str, reason: str) -> None:
        super().__init__(detail, retryable=False, upstream_status=upstream_status)
        self.param = param
        self.reason = reason


class ContextOverflow(UpstreamFailed):
    """The request does not fit the model's context window: shorten it, or use a larger model."""

    status, code, title = 413, "context-overflow", "Context window exceeded"

    def __init__(self, detail: str, *, upstream_status: int | None = None) -> None:
        super().__init__(detail, retryable=False, upstream_status=upstream_status)


class UpstreamBusy(UpstreamFailed):
    """The provider asks for patience: `retry_after` seconds, None when it does not say."""

    code, title = "upstream-busy", "Upstream is busy"

    def __init__(
        self, detail: str, *, retry_after: float | None, upstream_status: int | None = None
    ) -> None:
        super().__init__(detail, retryable=True, upstream_status=upstream_status)
        self.retry_after = retry_after
