"""Maps and loops under way: which bodies are open, and what their outcomes make together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from apps.orchestration.workflows.expressions import ExpressionFailed
from apps.orchestration.workflows.frames import Frame, Outcome, failed
from apps.orchestration.workflows.rendering import as_text, compiled
from apps.orchestration.workflows.types import AtBound, Graph, ItemErrors, Loop, Map, Node


@dataclass(slots=True, kw_only=True)
class UnderWay:
    """A node that was started and is not over: the steps it asked for, the bodies it opened."""

    frame: Frame
    node: Node
    attempt: int = 1
    steps: set[str] = field(default_factory=set)
    frames: set[Frame] = field(default_factory=set)

    @property
    def step(self) -> str:
        """The key of the attempt: the node's address, and from the second on its number."""
        address = self.frame.address(self.node.id)
        return address if self.attempt == 1 else f"{address}#{self.attempt}"

    @property
    def values(self) -> dict[str, Any]:
        return self.frame.values_for(self.node.id)


class Bodies(Protocol):
    """What carries bodies out, and is told how the node came out."""

    def open_body(
        self,
        under: UnderWay,
        graph: Graph,
        number: int,
        outer: Mapping[str, Any],
        done: Callable[[Frame, Outcome], None],
    ) -> None: ...

    def complete(self, frame: Frame, node: Node, outcome: Outcome) -> None: ...


class Items:
    """A map under way. Results keep the order of the items, whatever order they come in."""

    def __init__(self, bodies: Bodies, under: UnderWay, work: Map) -> None:
        self._bodies, self._under, self._work = bodies, under, work
        values = under.values
        items = compiled(work.over, values).evaluate(values)
        if not isinstance(items, list):
            raise ExpressionFailed(f"`{work.over}` is no list.")
        self._items: list[Any] = items
        self._outcomes: dict[int, Outcome] = {}
        self._next = 0
        self._is_filling = False

    def fill(self) -> None:
        """Start items while there is room; the map is over with the last of them."""
        if self._is_filling:
            return
        self._is_filling = True
        while self._next < len(self._items) and self._active < self._work.concurrency:
            index, self._next = self._next, self._next + 1
            outer = {"item": self._items[index], "index": index}
            self._bodies.open_body(
                self._under, self._work.body, index, outer, partial(self._over, index)
            )
            if self._is_failed:
                return
        self._is_filling = False
        if len(self._outcomes) == len(self._items):
            self._complete(self._collected())

    @property
    def _active(self) -> int:
        return self._next - len(self._outcomes)

    @property
    def _is_failed(self) -> bool:
        fails = self._work.on_item_error is ItemErrors.FAIL
        return fails and any(outcome.failure for outcome in self._outcomes.values())

    def _over(self, index: int, _: Frame, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        if self._is_failed:
            self._complete(outcome)
        else:
            self.fill()

    def _complete(self, outcome: Outcome) -> None:
        self._bodies.complete(self._under.frame, self._under.node, outcome)

    def _collected(self) -> Outcome:
        outcomes = [self._outcomes[index] for index in range(len(self._items))]
        values = [None if one.failure else one.value for one in outcomes]
        errors = [
            {"index": index, "code": one.failure.code, "detail": one.failure.detail}
            for index, one in enumerate(outcomes)
            if one.failure
        ]
        evidence = tuple(found for one in outcomes for found in one.evidence)
        return Outcome(
            text=as_text(values), data=values, evidence=evidence, more={"errors": errors}
        )


class Rounds:
    """A loop under way, one round after the other."""

    def __init__(self, bodies: Bodies, under: UnderWay, work: Loop) -> None:
        self._bodies, self._under, self._work = bodies, under, work
        self._number = 0
        self._last = Outcome()
        self._is_going = self._is_ready = False

    def go_on(self) -> None:
        self._is_ready = True
        if self._is_going:
            return
        self._is_going = True
        while self._is_ready:
            self._is_ready = False
            self._number += 1
            self._bodies.open_body(
                self._under, self._work.body, self._number, self._outer, self._over
            )
        self._is_going = False

    @property
    def _outer(self) -> Mapping[str, Any]:
        return {"round": self._number, "last": {"text": self._last.text, "data": self._last.data}}

    def _over(self, frame: Frame, outcome: Outcome) -> None:
        if outcome.failure is not None:
            self._complete(outcome)
            return
        self._last = outcome
        try:
            is_met = holds(self._work.until, frame.all_values())
        except ExpressionFailed as error:
            self._complete(failed("expression_failed", str(error)))
            return
        if is_met or self._number >= self._work.max_rounds:
            self._complete(self._outcome(is_met=is_met))
        else:
            self.go_on()

    def _outcome(self, *, is_met: bool) -> Outcome:
        if not is_met and self._work.at_bound is AtBound.FAIL:
            detail = (
                f"`{self._work.until}` did not hold after {self._number} rounds. Raise max_rounds, "
                "or say `at_bound: continue`."
            )
            return failed("max_rounds", detail)
        return replace(self._last, more={"rounds": self._number, "met": is_met})

    def _complete(self, outcome: Outcome) -> None:
        self._bodies.complete(self._under.frame, self._under.node, outcome)


def holds(source: str, values: Mapping[str, Any]) -> bool:
    """Raises `ExpressionFailed` also for what is neither true nor false."""
    value = compiled(source, values).evaluate(values)
    if not isinstance(value, bool):
        raise ExpressionFailed(f"`{source}` is neither true nor false, but {as_text(value)[:200]}.")
    return value
