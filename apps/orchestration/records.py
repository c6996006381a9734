"""What the journal hands to the engine and takes from it, inside this layer."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from apps.orchestration.types.runs import EventType, RunStatus
from octavo.kernel.scope import Principal


class Fenced(Exception):
    """The lease is lost: someone else may hold the run. Stop without writing anything more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What of a run never changes while it lives. `key_id` is the API key that started it.

    An agent's, pinned to a version; or, in the name of `starter`, a workflow's, pinned to a version
    too, or one call of `tool`. `given_route` replaces that of its definition; a dry run's tools are
    answered from the journal of `forked_from`.
    """

    id: UUID
    organisation_id: UUID
    team_id: UUID
    project_id: UUID
    agent_id: UUID | None = None
    agent_name: str = ""
    agent_version_id: UUID | None = None
    workflow_name: str = ""
    workflow_version_id: UUID | None = None
    tool: str = ""
    starter: Principal | None = None
    key_id: UUID | None
    key_scopes: tuple[str, ...] = ("*",)
    is_autonomous: bool = False
    strategy: str
    input: Any
    deadline_at: datetime | None = None
    root_id: UUID | None = None
    parent_id: UUID | None = None
    parent_key: str = ""
    depth: int = 0
    forked_from: UUID | None = None
    given_route: str = ""
    is_dry_run: bool = False


@dataclass(slots=True, kw_only=True)
class Head:
    """Where a claimed run stands; moved by each append of the claim's holder.

    `mail_seq` is how much mail there is known to be, `seen_mail` how much of it was read; `crashes`
    how many holders were lost, at the claim, since something was journaled.
    `now` is the database's clock at the last statement.
    """

    fence: int
    next_seq: int
    seen_mail: int
    mail_seq: int
    cancel_requested: bool = False
    crashes: int = 0
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run came out, and when by the database's clock."""

    status: RunStatus
    output: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event as it was journaled, its blobs not yet filled in."""

    seq: int
    type: EventType
    step: str
    attempt: int
    started_at: datetime
    at: datetime
    data: Mapping[str, Any]
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One piece of mail. `kind` ∈ approval, timer, cancel, child, effect, input, signal, pause,
    resume.
    """

    seq: int
    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event to append. `blobs` maps hashes that `data` names to the content.

    `is_step` counts it as a step of the run; `took` is how many seconds the step ran; `read_mail`
    is the letter that the event answers.
    """

    type: EventType
    step: str
    data: Mapping[str, Any]
    attempt: int = 1
    took: float = 0.0
    is_step: bool = False
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    read_mail: int = 0


def dump(value: Any) -> bytes:
    """JSON with sorted keys, the same for the same value; lone surrogates become `?`."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return orjson.dumps(_encodable(value), default=str, option=orjson.OPT_SORT_KEYS)


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value


class Blobs(dict[str, bytes]):
    """Collects content while an event's data is built: `put` returns the name to write there."""

    def put(self, value: Any) -> str:
        body = dump(value)
        name = hashlib.sha256(body).hexdigest()
        self[name] = body
        return name
