"""Workflows as other layers see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowProblem:
    """What is wrong with a definition, and exactly where. `line` and `column` count from 1; both
    are 0 where the definition was not given as text.
    """

    path: str
    detail: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowView:
    """A workflow at one version. `source` is its definition as text, for people to read and change;
    `description` is its own first words.
    """

    id: UUID
    name: str
    version: int
    description: str
    definition: Mapping[str, Any]
    source: str
    saved_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowNode:
    """A node as it is drawn. `body` holds the nodes and edges of a map's or a loop's body; `counts`
    says of a run how many times it came to each status, `status` which of them matters most.
    """

    id: str
    kind: str
    title: str
    status: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    body: "WorkflowPicture | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEdge:
    """`label` is its condition, `error`, or ""."""

    source: str
    target: str
    label: str
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPicture:
    """What is drawn of a graph; `levels` are ids so that every edge leads to a later level."""

    nodes: tuple[WorkflowNode, ...]
    edges: tuple[WorkflowEdge, ...]
    levels: tuple[tuple[str, ...], ...]
