"""What the parts of a definition say of each other: edges, names, expressions, arguments.

A definition that passes can only fail by what its nodes do.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from apps.orchestration.types.workflows import WorkflowProblem
from apps.orchestration.workflows import graphs
from apps.orchestration.workflows.documents import Document
from apps.orchestration.workflows.expressions import (
    BadExpression,
    Expression,
    compile_expression,
)
from apps.orchestration.workflows.rendering import (
    Slot,
    parse_template,
    position_in,
    strings_of,
)
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
    When,
)
from apps.tools.services import schemas
from apps.tools.types import ToolView

FindTool = Callable[[str], ToolView | None]
FindRoute = Callable[[str], bool]
_ID = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import"),
        *("in", "let", "loop", "namespace", "null", "package", "return", "true", "var", "void"),
        "while",
    )
)
_INPUT = frozenset({"input"})
_FIELD_OF: Mapping[Kind, str] = {Kind.AGENT: "agent", Kind.WORKFLOW: "workflow", Kind.TOOL: "tool"}


def check_definition(
    definition: Definition, document: Document, *, find_tool: FindTool, has_route: FindRoute
) -> list[WorkflowProblem]:
    """Every problem, in the order of the text."""
    checker = _Checker(document, find_tool, has_route)
    checker.unique_ids(definition.graph)
    checker.graph(definition.graph, "", _INPUT)
    return sorted(checker.problems, key=lambda problem: (problem.line, problem.column))


class _Checker:
    def __init__(self, document: Document, find_tool: FindTool, has_route: FindRoute) -> None:
        self.document = document
        self.find_tool = find_tool
        self.has_route = has_route
        self.problems: list[WorkflowProblem] = []

    def add(self, path: str, detail: str, *, line: int = 1, column: int = 1) -> None:
        self.problems.append(self.document.problem(path, detail, line=line, column=column))

    def unique_ids(self, graph: Graph) -> None:
        self._unique(graph, "", Counter())

    def _unique(self, graph: Graph, path: str, seen: Counter[str]) -> None:
        for index, node in enumerate(graph.nodes):
            at = f"{path}/nodes/{index}"
            seen[node.id] += 1
            if seen[node.id] == 2:
                self.add(f"{at}/id", f"another node has the id {node.id!r}; bodies count too.")
            if not _ID.fullmatch(node.id) or node.id in _RESERVED:
                self.add(
                    f"{at}/id",
                    f"{node.id!r} cannot be an id: use 1 to 63 lower-case letters, digits and '_', "
                    "a letter first, and no word of CEL.",
                )
            if isinstance(node.work, Map | Loop):
                self._unique(node.work.body, f"{at}/body", seen)

    def graph(self, graph: Graph, path: str, outer: frozenset[str]) -> None:
        """`outer` are the names that every node of the graph may read."""
        if not self._edges(graph, path):
            return
        before = graphs.all_before(graph)
        for index, node in enumerate(graph.nodes):
            names = outer | {f"nodes.{one}" for one in before[node.id]}
            self._node(graph, node, f"{path}/nodes/{index}", names)
        for index, edge in enumerate(graph.edges):
            if edge.when is not None:
                names = outer | {f"nodes.{one}" for one in before[edge.source]}
                self._condition(edge.when, f"{path}/edges/{index}/when", names)
        everything = outer | {f"nodes.{node.id}" for node in graph.nodes}
        self._template(graph.output, f"{path}/output", everything)

    def _edges(self, graph: Graph, path: str) -> bool:
        """Whether the edges make an order."""
        before = len(self.problems)
        ids = {node.id: node for node in graph.nodes}
        pairs: Counter[tuple[str, str, str]] = Counter()
        for index, edge in enumerate(graph.edges):
            at = f"{path}/edges/{index}"
            for end, name in (("from", edge.source), ("to", edge.target)):
                if name not in ids:
                    self.add(f"{at}/{end}", f"there is no node {name!r} here.{_close(name, ids)}")
            pairs[edge.source, edge.target, edge.on] += 1
            if pairs[edge.source, edge.target, edge.on] == 2:
                self.add(at, f"another edge leads from {edge.source!r} to {edge.target!r}.")
            self._choice(ids.get(edge.source), edge.when, edge.otherwise, edge.on, at)
        if len(self.problems) > before or len(ids) < len(graph.nodes):
            return False
        circle = graphs.find_circle(graph)
        if circle:
            self._circle(graph, path, circle)
        for index, node in enumerate(graph.nodes):
            self._place_of(graph, node, f"{path}/nodes/{index}")
        return not circle

    def _circle(self, graph: Graph, path: str, circle: tuple[str, ...]) -> None:
        last = next(
            index
            for index, edge in enumerate(graph.edges)
            if (edge.source, edge.target) == (circle[-2], circle[-1])
        )
        way = " → ".join(circle)
        detail = f"the edges form a circle: {way}. Put what repeats into a loop."
        self.add(f"{path}/edges/{last}", detail)

    def _choice(
        self, source: Node | None, when: str | None, otherwise: bool, on: When, at: str
    ) -> None:
        if source is None:
            return
        chooses = when is not None or otherwise
        if chooses and (not isinstance(source.work, Branch) or on is When.ERROR):
            self.add(at, "only edges that leave a branch have `when` or `otherwise`.")
        if when is not None and otherwise:
            self.add(at, "an edge has `when` or `otherwise`, not both.")
        if isinstance(source.work, Branch) and on is When.SUCCESS and not chooses:
            self.add(at, f"{source.id!r} is a branch: give this edge `when` or `otherwise: true`.")

    def _place_of(self, graph: Graph, node: Node, at: str) -> None:
        into = len(graphs.incoming(graph, node.id))
        if node.needs is not None and node.needs > max(into, 1):
            self.add(f"{at}/join", f"needs {node.needs} of {into} incoming edges: it cannot start.")
        if isinstance(node.work, Branch):
            defaults = sum(edge.otherwise for edge in graphs.outgoing(graph, node.id))
            if defaults != 1:
                self.add(
                    at,
                    f"{node.id!r} needs one edge with `otherwise: true`, and has {defaults}.",
                )

    def _node(self, graph: Graph, node: Node, at: str, names: frozenset[str]) -> None:
        work = node.work
        match work:
            case Call():
                self._call(node, work, at, names)
            case Ask():
                self._template(work.prompt, f"{at}/prompt", names)
                self._template(work.system, f"{at}/system", names)
                if not self.has_route(work.route):
                    self.add(f"{at}/route", f"there is no chat route {work.route!r}.")
            case Map():
                expression = self._expression(work.over, f"{at}/over", names)
                if expression and not expression.may_be_list:
                    self.add(f"{at}/over", f"`{work.over}` is no list.")
                self.graph(work.body, f"{at}/body", names | {"item", "index"})
            case Loop():
                inner = names | {"round", "last"}
                self.graph(work.body, f"{at}/body", inner)
                own = {f"nodes.{one.id}" for one in work.body.nodes}
                self._condition(work.until, f"{at}/until", inner | own)
            case Branch():
                pass

    def _call(self, node: Node, call: Call, at: str, names: frozenset[str]) -> None:
        field = _FIELD_OF.get(node.kind)
        arguments = call.arguments
        for key, value in arguments.items():
            self._template(value, _path_of(node.kind, at, key), names)
        tool = self.find_tool(call.tool)
        if tool is None and field is None:
            self.add(f"{at}/kind", f"nothing here can do this: there is no tool {call.tool!r}.")
        elif tool is None:
            name = call.tool if node.kind is Kind.TOOL else call.tool.partition("__")[2]
            self.add(f"{at}/{field}", f"there is no {node.kind} {name!r}.")
        if tool is None:
            return
        if node.kind is Kind.TOOL:
            self._arguments(tool, arguments, at)

    def _arguments(self, tool: ToolView, arguments: Mapping[str, Any], at: str) -> None:
        """What is written out is checked whole; what an expression gives, when it is there."""
        given = dict(arguments)
        open_paths = {path for path, text in strings_of(given) if _has_slots(text)}
        for path, detail in schemas.list_problems(schema=tool.input_schema, instance=given):
            if path not in open_paths:
                self.add(f"{at}/arguments{path}", f"{tool.name}: {detail}.")

    def _condition(self, source: str, path: str, names: frozenset[str]) -> None:
        expression = self._expression(source, path, names)
        if expression and not expression.may_be_bool:
            self.add(path, f"`{source}` is neither true nor false.")

    def _template(self, template: Any, path: str, names: frozenset[str]) -> None:
        for below, text in strings_of(template):
            try:
                parts = parse_template(text)
            except BadExpression as error:
                self.add(path + below, error.detail, line=error.line, column=error.column)
                continue
            for part in parts:
                if isinstance(part, Slot):
                    self._expression(part.source, path + below, names, inside=(text, part.offset))

    def _expression(
        self,
        source: str,
        path: str,
        names: frozenset[str],
        *,
        inside: tuple[str, int] | None = None,
    ) -> Expression | None:
        try:
            return compile_expression(source, names)
        except BadExpression as error:
            line, column = error.line, error.column
            if inside:
                first = position_in(*inside)
                column += first[1] - 1 if line == 1 else 0
                line += first[0] - 1
            self.add(path, error.detail, line=line, column=column)
            return None


def _path_of(kind: Kind, at: str, key: str) -> str:
    """Where a person wrote the argument."""
    if kind is Kind.TOOL:
        return f"{at}/arguments/{key}"
    return f"{at}/signal" if kind is Kind.WAIT and key == "name" else f"{at}/{key}"


def _has_slots(text: str) -> bool:
    try:
        return any(isinstance(part, Slot) for part in parse_template(text))
    except BadExpression:
        return True


def _close(name: str, ids: Mapping[str, Any]) -> str:
    found = get_close_matches(name, list(ids), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
