"""Agent definitions, the folded state of a loop, and the decisions the loop can take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from apps.inference.types import Message, ToolCall

HANDOFF_PREFIX = "handoff__"
"""What the name of a tool begins with that hands a run over to the agent it names."""


class Strategy(StrEnum):
    """How an agent works.

    `tools`: the model calls tools until it answers. `react`: it reasons in words before each move.
    `plan`: it writes a plan first and then does one step after the other. `quote`: the answer is
    the sources' own sentences. `auto` is `quote` on a starter model and `tools` on a better one.
    """

    AUTO = "auto"
    TOOLS = "tools"
    REACT = "react"
    PLAN = "plan"
    QUOTE = "quote"


ResolvedStrategy = Literal[Strategy.TOOLS, Strategy.REACT, Strategy.PLAN, Strategy.QUOTE]


class WhenStuck(StrEnum):
    """What becomes of a run that repeats itself, or whose model gives no answer at all: it fails,
    or it asks a person whether to go on.
    """

    FAIL = "fail"
    ASK = "ask"


class Access(StrEnum):
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceGrant:
    space: str
    access: Access = Access.READ


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What ends a run by itself. `max_tokens` and `max_cost_usd` bound the whole run."""

    max_steps: int = 24
    max_tokens: int | None = None
    max_cost_usd: Decimal | None = None
    deadline_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What an agent is; immutable once saved as a version. `tools` may end in `*`. Each of its runs
    leaves an episode in the space `remember`, if that names one which it may write.
    """

    instructions: str
    route: str = "default"
    tools: tuple[str, ...] = ()
    spaces: tuple[SpaceGrant, ...] = ()
    strategy: Strategy = Strategy.AUTO
    output_schema: Mapping[str, Any] | None = None
    limits: Limits = field(default_factory=Limits)
    when_stuck: WhenStuck = WhenStuck.FAIL
    remember: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    id: UUID
    name: str
    version: int
    definition: Definition
    saved_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A retrieved piece of context as the loop remembers it; `citation` is a `Citation`'s data."""

    text: str
    score: float
    citation: Mapping[str, Any]
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A block of core memory as it stood when the run began; `about` says what belongs into it."""

    space: str
    name: str
    about: str
    text: str
    revision: int
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The loop gives up. `code` is stable (`max_steps`, `loop`, …); `detail` says what to do."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The run has its answer. `citations` are plain data shaped like `context.types.Citation`.

    `answered_by` is `{"run", "agent"}` where another agent took over and gave the answer.
    """

    text: str
    citations: tuple[Mapping[str, Any], ...] = ()
    data: Any = None
    answered_by: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps of an agent that plans: the first `done` of them have their result."""

    steps: tuple[str, ...]
    done: int = 0
    revisions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """Everything `decide` may look at: a fold of the journal over a pinned definition, no more.

    `strategy` is resolved (never `auto`). `messages` are what the model and the tools said.
    `pending` are the tool calls of the last model answer that have no result yet, each with its
    place among them. `sources` is None until the first retrieval. `answer` is the last model text
    that called no tool. `stuck` is what keeps the run from going on by itself; `failed` ends it.
    `recent_calls` are digests of tool, arguments and result, oldest first.
    `steps` counts results, `answers` those that were meant to be the last, `asked` the questions to
    a person, `trims` how often the conversation was shortened because the model could not take it.
    `plan` is None until there is one. `memory` is always in the prompt. `earlier` is what was said
    before another agent handed over to this one; `finished` the answer of the agent that this one
    handed over to, `refused_handoffs` how often it could not.
    """

    definition: Definition
    strategy: ResolvedStrategy
    input: str
    messages: tuple[Message, ...] = ()
    pending: tuple[tuple[int, ToolCall], ...] = ()
    sources: tuple[Source, ...] | None = None
    answer: str | None = None
    earlier: tuple[Message, ...] = ()
    finished: Finish | None = None
    refused_handoffs: int = 0
    memory: tuple[Remembered, ...] = ()
    plan: Plan | None = None
    stuck: Fail | None = None
    failed: Fail | None = None
    steps: int = 0
    answers: int = 0
    asked: int = 0
    trims: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    tainted: bool = False
    recent_calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieve:
    """Search the agent's readable spaces; `quote` ranks sentences instead of chunks."""

    step: str
    query: str
    limit: int
    quote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallModel:
    """Ask the model of `route`, or of the run's own route."""

    step: str
    messages: tuple[Message, ...]
    offer_tools: bool = True
    json_schema: Mapping[str, Any] | None = None
    route: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTools:
    """Call each pending tool, several at once; the step key of a call is `<step>.<its place>`."""

    step: str
    calls: tuple[tuple[int, ToolCall], ...]


LoopDecision = Retrieve | CallModel | CallTools | Finish | Fail
