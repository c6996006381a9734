"""The state of a graph that is being carried out: what each node came to, and what it may read."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from apps.orchestration.workflows import graphs
from apps.orchestration.workflows.rendering import as_text, render
from apps.orchestration.workflows.types import Edge, Graph, Node


class Status(StrEnum):
    """How a node stands. `cancelled`: its result is needed no more."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in {Status.WAITING, Status.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`at`: the address of the node that failed first, "" before it is known."""

    code: str
    detail: str
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a node or a body came to: a value, or a failure. `evidence` is what the value rests on,
    `more` what expressions can read beside it. `is_refusal`: trying again would change nothing.
    """

    text: str = ""
    data: Any = None
    evidence: tuple[Mapping[str, Any], ...] = ()
    failure: Failure | None = None
    is_refusal: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> Any:
        return self.text if self.data is None else self.data

    @property
    def error(self) -> dict[str, str] | None:
        failure = self.failure
        return {"code": failure.code, "detail": failure.detail} if failure else None


def outcome_of(value: Any, evidence: tuple[Mapping[str, Any], ...] = ()) -> Outcome:
    data = None if isinstance(value, str) else value
    return Outcome(text=as_text(value), data=data, evidence=evidence)


def failed(code: str, detail: str) -> Outcome:
    return Outcome(failure=Failure(code=code, detail=detail))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A graph with what its edges imply, worked out once."""

    graph: Graph
    nodes: Mapping[str, Node]
    order: tuple[str, ...]
    before: Mapping[str, frozenset[str]]
    into: Mapping[str, tuple[Edge, ...]]
    out: Mapping[str, tuple[Edge, ...]]
    lasts: tuple[str, ...]


def plan_of(graph: Graph) -> Plan:
    ids = [node.id for node in graph.nodes]
    return Plan(
        graph=graph,
        nodes={node.id: node for node in graph.nodes},
        order=graphs.in_order(graph),
        before=graphs.all_before(graph),
        into={one: tuple(graphs.incoming(graph, one)) for one in ids},
        out={one: tuple(graphs.outgoing(graph, one)) for one in ids},
        lasts=tuple(node.id for node in graphs.last_nodes(graph)),
    )


class Frame:
    """One carrying-out of a graph. `prefix` begins the address of each of its nodes; `outer` is
    what all of them may read. `done` is told the graph's outcome, once.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        prefix: str,
        outer: Mapping[str, Any],
        done: Callable[["Frame", Outcome], None],
        tally: dict[str, Counter[Status]],
    ) -> None:
        self.plan = plan
        self.prefix = prefix
        self.outer = outer
        self.done = done
        self.outcomes: dict[str, Outcome] = {}
        self.chosen: dict[str, Edge] = {}
        self.failure: Failure | None = None
        self.is_settling = False
        self.is_closed = False
        self._statuses: dict[str, Status] = {}
        self._tally = tally
        for node_id in plan.order:
            tally.setdefault(node_id, Counter())[Status.WAITING] += 1

    def status(self, node_id: str) -> Status:
        return self._statuses.get(node_id, Status.WAITING)

    def mark(self, node_id: str, status: Status) -> None:
        tally = self._tally[node_id]
        tally[self.status(node_id)] -= 1
        tally[status] += 1
        self._statuses[node_id] = status

    @property
    def is_done(self) -> bool:
        return all(self.status(one).is_final for one in self.plan.order)

    def address(self, node_id: str) -> str:
        return f"{self.prefix}{node_id}"

    def is_taken(self, edge: Edge) -> bool | None:
        """Whether the edge was followed; None while its source is not over."""
        status = self.status(edge.source)
        if not status.is_final:
            return None
        if edge.on == "error":
            return status is Status.FAILED
        if status is not Status.SUCCEEDED:
            return False
        return self.chosen.get(edge.source, edge) is edge

    def values_for(self, node_id: str) -> dict[str, Any]:
        """What the node's expressions may read."""
        return self._values(self.plan.before[node_id])

    def all_values(self) -> dict[str, Any]:
        return self._values(frozenset(self.plan.order))

    def _values(self, node_ids: frozenset[str]) -> dict[str, Any]:
        return {**self.outer, **{f"nodes.{one}": self._view(one) for one in sorted(node_ids)}}

    def _view(self, node_id: str) -> dict[str, Any]:
        outcome = self.outcomes.get(node_id, Outcome())
        return {
            **outcome.more,
            "status": str(self.status(node_id)),
            "text": outcome.text,
            "data": outcome.data,
            "error": outcome.error,
        }

    def result(self) -> Outcome:
        """The graph's output. Raises `ExpressionFailed`."""
        output = self.plan.graph.output
        ran = [one for one in self.plan.lasts if self.status(one) is Status.SUCCEEDED]
        if output is not None:
            named = [one for one in self.plan.order if f"nodes.{one}" in as_text(output)]
            return outcome_of(render(output, self.all_values()), self._evidence(named))
        if len(ran) == 1:
            only = self.outcomes[ran[0]]
            return Outcome(text=only.text, data=only.data, evidence=only.evidence)
        return outcome_of({one: self.outcomes[one].value for one in ran}, self._evidence(ran))

    def _evidence(self, node_ids: list[str]) -> tuple[Mapping[str, Any], ...]:
        found: list[Mapping[str, Any]] = []
        for node_id in node_ids:
            known = self.outcomes.get(node_id, Outcome())
            found += [one for one in known.evidence if one not in found]
        return tuple(found)
