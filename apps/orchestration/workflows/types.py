"""A workflow as it was saved: nodes, edges and what each node does. Immutable, and pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a node does."""

    AGENT = "agent"
    TOOL = "tool"
    MODEL = "model"
    BRANCH = "branch"
    MAP = "map"
    LOOP = "loop"
    APPROVAL = "approval"
    WAIT = "wait"
    WORKFLOW = "workflow"


class When(StrEnum):
    """Which end of a node an edge follows."""

    SUCCESS = "success"
    ERROR = "error"


class ItemErrors(StrEnum):
    """What a failed item does to its map: end it, or be listed beside the results."""

    FAIL = "fail"
    COLLECT = "collect"


class AtBound(StrEnum):
    """What a loop does whose condition did not hold after the last round."""

    FAIL = "fail"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """`attempts` in all; the wait before each further one doubles, from `backoff_seconds`."""

    attempts: int = 1
    backoff_seconds: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`when` and `otherwise` choose among the edges that leave a branch."""

    source: str
    target: str
    on: When = When.SUCCESS
    when: str | None = None
    otherwise: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool by its name, agents and workflows included; `arguments` is a template."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One model call; `prompt` and `system` are templates."""

    prompt: str
    system: str = ""
    route: str = "default"
    output_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Takes the first edge whose condition holds, else the one marked `otherwise`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """The body once for each item of the list `over`, at most `concurrency` at a time."""

    over: str
    body: "Graph"
    concurrency: int
    on_item_error: ItemErrors


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """The body again and again until `until` holds, at most `max_rounds` times."""

    until: str
    body: "Graph"
    max_rounds: int
    at_bound: AtBound


Work = Call | Ask | Branch | Map | Loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """`needs`: how many incoming edges must be taken before it starts; None waits for all of them
    to be decided, and starts when at least one was taken.
    """

    id: str
    kind: Kind
    work: Work
    needs: int | None = None
    retry: Retry = field(default_factory=Retry)
    timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """`output` is a template; None is the result of the last node."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    output: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`max_nodes` bounds how many calls a run makes in all."""

    max_nodes: int = 1000
    deadline_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    graph: Graph
    description: str = ""
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None
    limits: Limits = field(default_factory=Limits)
