"""A run of a workflow: its journal folded over the pinned graph says what is to be done now.

Pure: no clock, no database, no network. A result is taken in once, in the journal's order.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from apps.agents.types import CallModel, Fail, Finish
from apps.inference.types import Message, ToolCall
from apps.orchestration.programs import CallTool, End, Task
from apps.orchestration.records import Record, dump
from apps.orchestration.types.runs import EventType
from apps.orchestration.workflows import graphs
from apps.orchestration.workflows.bodies import Items, Rounds, UnderWay, holds
from apps.orchestration.workflows.expressions import ExpressionFailed
from apps.orchestration.workflows.frames import (
    Failure,
    Frame,
    Outcome,
    Plan,
    Status,
    failed,
    plan_of,
)
from apps.orchestration.workflows.reading import WAIT_TOOL
from apps.orchestration.workflows.rendering import as_text, render
from apps.orchestration.workflows.results import result_of
from apps.orchestration.workflows.types import (
    Ask,
    Branch,
    Call,
    Definition,
    Graph,
    Kind,
    Loop,
    Map,
    Node,
)
from apps.tools.services import schemas

_TRUSTED = "trusted"
_LONGEST_BACKOFF = 86_400

Take = Callable[[Outcome], None]


class Interpreter:
    """A `Program`. `tally` counts the nodes of each id by status, those of bodies summed."""

    in_order = False
    offers: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    route = ""

    def __init__(self, definition: Definition, input: Any) -> None:
        self.tools = tools_of(definition.graph)
        self.tainted = False
        self.tally: dict[str, Counter[Status]] = {}
        self._definition = definition
        self._plans: dict[int, Plan] = {}
        self._pending: dict[str, Task] = {}
        self._takers: dict[str, tuple[UnderWay, Take]] = {}
        self._under: dict[tuple[Frame, str], UnderWay] = {}
        self._calls = 0
        self._end: End | None = None
        self._root = self._open(definition.graph, "", {"input": input}, self._finish)
        self._settle(self._root)

    def decide(self) -> tuple[Task, ...] | End:
        return self._end or tuple(self._pending.values())

    def close(self) -> None:
        """The run is over: what was under way is not any more."""
        if not self._root.is_closed:
            self._close(self._root)

    def apply(self, record: Record, data: Mapping[str, Any]) -> None:
        """A result of a step that is needed no more changes nothing."""
        if data.get("trust", _TRUSTED) != _TRUSTED or data.get("tainted", False):
            self.tainted = True
        is_tried_again = record.type is EventType.MODEL_FAILED and data["retry_in"] is not None
        if is_tried_again or record.step not in self._takers or self._end is not None:
            return
        under, take = self._takers[record.step]
        self._forget(under, record.step)
        take(result_of(under.node, record, data))

    # Graphs
    def _open(
        self,
        graph: Graph,
        prefix: str,
        outer: Mapping[str, Any],
        done: Callable[[Frame, Outcome], None],
    ) -> Frame:
        plan = self._plans.get(id(graph)) or self._plans.setdefault(id(graph), plan_of(graph))
        return Frame(plan, prefix=prefix, outer=outer, done=done, tally=self.tally)

    def open_body(
        self,
        under: UnderWay,
        graph: Graph,
        number: int,
        outer: Mapping[str, Any],
        done: Callable[[Frame, Outcome], None],
    ) -> None:
        """Carry the body out once more, with `number` in the addresses of its nodes."""

        def over(frame: Frame, outcome: Outcome) -> None:
            under.frames.discard(frame)
            done(frame, outcome)

        prefix = f"{under.frame.address(under.node.id)}[{number}]."
        frame = self._open(graph, prefix, {**under.values, **outer}, over)
        under.frames.add(frame)
        self._settle(frame)

    def _settle(self, frame: Frame) -> None:
        """Start, skip or drop whatever has become decided, then end the frame if it is over."""
        if frame.is_settling or frame.is_closed:
            return
        frame.is_settling = True
        for node_id in frame.plan.order:
            if frame.status(node_id) is Status.WAITING and frame.failure is None:
                self._look(frame, frame.plan.nodes[node_id])
        frame.is_settling = False
        if frame.failure is not None or frame.is_done:
            self._close(frame)
            frame.done(frame, self._result(frame))

    def _result(self, frame: Frame) -> Outcome:
        if frame.failure is not None:
            return Outcome(failure=frame.failure)
        try:
            return frame.result()
        except ExpressionFailed as error:
            return failed("expression_failed", f"The output of the graph: {error}")

    def _look(self, frame: Frame, node: Node) -> None:
        """Whether the node may start now."""
        verdicts = [frame.is_taken(edge) for edge in frame.plan.into[node.id]]
        taken, is_open = verdicts.count(True), None in verdicts
        needs = 1 if node.needs is None else node.needs
        if node.needs is None and is_open:
            return
        if not verdicts or taken >= needs:
            self._start(frame, node)
            self._drop_useless(frame)
        elif not is_open and taken == 0:
            frame.mark(node.id, Status.SKIPPED)
        elif not is_open:
            detail = f"{taken} of the {needs} ways that must lead here were taken."
            self.complete(frame, node, failed("join_unmet", detail))

    def _drop_useless(self, frame: Frame) -> None:
        """End the losers of a join: nodes that lead only to what has already started."""
        settled = {one for one in frame.plan.order if frame.status(one) is not Status.WAITING}
        for node_id in reversed(frame.plan.order):
            ways = [edge for edge in frame.plan.out[node_id] if edge.on == "success"]
            if frame.status(node_id).is_final or not ways:
                continue
            if all(edge.target in settled for edge in ways):
                self._drop(frame, node_id)
                settled.add(node_id)

    def _drop(self, frame: Frame, node_id: str) -> None:
        self._stop(frame, node_id)
        frame.mark(node_id, Status.CANCELLED)

    def _stop(self, frame: Frame, node_id: str) -> None:
        """Nothing that the node has under way is needed any more."""
        under = self._under.pop((frame, node_id), None)
        if under is None:
            return
        for step in list(under.steps):
            self._forget(under, step)
        for inner in list(under.frames):
            self._close(inner)

    def _close(self, frame: Frame) -> None:
        frame.is_closed = True
        for node_id in frame.plan.order:
            if not frame.status(node_id).is_final:
                self._drop(frame, node_id)

    def complete(self, frame: Frame, node: Node, outcome: Outcome) -> None:
        """The node is over; a failure that no edge takes up is the graph's."""
        if frame.is_closed:
            return
        self._stop(frame, node.id)
        frame.outcomes[node.id] = outcome
        frame.mark(node.id, Status.FAILED if outcome.failure else Status.SUCCEEDED)
        is_handled = any(edge.on == "error" for edge in frame.plan.out[node.id])
        if outcome.failure and not is_handled:
            frame.failure = _at(frame.address(node.id), outcome.failure)
        self._settle(frame)

    def _finish(self, _: Frame, outcome: Outcome) -> None:
        if outcome.failure is not None:
            self._end = Fail(code=outcome.failure.code, detail=outcome.failure.detail)
            return
        wrong: tuple[str, ...] = ()
        if self._definition.output_schema is not None:
            schema = self._definition.output_schema
            wrong = schemas.check_instance(schema=schema, instance=outcome.value)
        if wrong:
            lines = "\n".join(("The output does not fit the workflow's output_schema:", *wrong))
            self._end = Fail(code="invalid_output", detail=lines)
            return
        self._end = Finish(text=outcome.text, citations=outcome.evidence, data=outcome.data)

    # Nodes

    def _start(self, frame: Frame, node: Node) -> None:
        frame.mark(node.id, Status.RUNNING)
        under = self._under[frame, node.id] = UnderWay(frame=frame, node=node)
        try:
            match node.work:
                case Call() | Ask():
                    self._attempt(under)
                case Branch():
                    self._choose(under)
                case Map():
                    Items(self, under, node.work).fill()
                case Loop():
                    Rounds(self, under, node.work).go_on()
        except ExpressionFailed as error:
            self.complete(frame, node, failed("expression_failed", str(error)))

    def _attempt(self, under: UnderWay) -> None:
        """Ask for the call, and for a timer beside it where its time is bounded."""
        self._calls += 1
        most = self._definition.limits.max_nodes
        if self._calls > most:
            detail = f"The run made {most} calls, which is its limit. Raise limits.max_nodes."
            self._end = Fail(code="max_nodes", detail=detail)
            return
        node = under.node
        self._ask(under, _task(under.step, node, under.values), partial(self._answered, under))
        if node.timeout_seconds is not None:
            detail = f"There was no result within {node.timeout_seconds} s."
            timer = _timer(f"{under.step}#timeout", node.timeout_seconds)
            late = failed("timeout", detail)
            self._ask(under, timer, lambda _: self._answered(under, late))

    def _ask(self, under: UnderWay, task: Task, take: Take) -> None:
        self._pending[task.step] = task
        self._takers[task.step] = under, take
        under.steps.add(task.step)

    def _forget(self, under: UnderWay, step: str) -> None:
        self._pending.pop(step, None)
        self._takers.pop(step, None)
        under.steps.discard(step)

    def _answered(self, under: UnderWay, outcome: Outcome) -> None:
        """Wait and try again, while the call failed, that can help, and attempts are left."""
        for step in list(under.steps):
            self._forget(under, step)
        is_last = under.attempt >= under.node.retry.attempts or outcome.is_refusal
        if outcome.failure is None or is_last:
            self.complete(under.frame, under.node, outcome)
            return
        seconds = min(under.node.retry.backoff_seconds * 2 ** (under.attempt - 1), _LONGEST_BACKOFF)
        timer = _timer(f"{under.step}#again", seconds)
        under.attempt += 1
        self._ask(under, timer, lambda _: self._attempt(under))

    def _choose(self, under: UnderWay) -> None:
        frame, node = under.frame, under.node
        ways = [edge for edge in frame.plan.out[node.id] if edge.on == "success"]
        values = under.values
        taken = next((way for way in ways if way.when and holds(way.when, values)), None)
        taken = taken or next(way for way in ways if way.otherwise)
        frame.chosen[node.id] = taken
        self.complete(frame, node, Outcome(text=taken.target))


def tools_of(graph: Graph) -> tuple[str, ...]:
    """The tools that the nodes name, and the one that waits where a node is bounded in time."""
    found = {WAIT_TOOL} if any(_has_timers(node) for node in graphs.walk(graph)) else set()
    found |= {node.work.tool for node in graphs.walk(graph) if isinstance(node.work, Call)}
    return tuple(sorted(found))


def _has_timers(node: Node) -> bool:
    return node.timeout_seconds is not None or node.retry.attempts > 1


def _task(step: str, node: Node, values: Mapping[str, Any]) -> Task:
    """What the node asks for, its templates rendered. Raises `ExpressionFailed`."""
    if isinstance(node.work, Ask):
        return _model_call(step, node.work, values)
    assert isinstance(node.work, Call)  # noqa: S101  no other work is one step
    arguments = render(node.work.arguments, values)
    if node.kind in {Kind.AGENT, Kind.APPROVAL}:
        arguments = {key: as_text(value) for key, value in arguments.items()}
    return _tool_call(step, node.work.tool, arguments)


def _model_call(step: str, work: Ask, values: Mapping[str, Any]) -> CallModel:
    system = as_text(render(work.system, values))
    question = Message(role="user", content=as_text(render(work.prompt, values)))
    told = (Message(role="system", content=system),) if system else ()
    return CallModel(
        step=step,
        messages=(*told, question),
        offer_tools=False,
        json_schema=work.output_schema,
        route=work.route,
    )


def _tool_call(step: str, tool: str, arguments: Mapping[str, Any]) -> CallTool:
    call = ToolCall(id=step, name=tool, arguments=dump(arguments).decode())
    return CallTool(step=step, call=call)


def _timer(step: str, seconds: int) -> CallTool:
    return _tool_call(step, WAIT_TOOL, {"seconds": seconds})


def _at(address: str, failure: Failure) -> Failure:
    """The failure with the address where it happened, once."""
    if failure.at:
        return failure
    return Failure(code=failure.code, detail=f"{address}: {failure.detail}", at=address)
