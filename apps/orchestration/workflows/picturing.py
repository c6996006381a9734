"""A graph as it is drawn: what each node does in a few words, in levels, and how far a run is."""

from collections import Counter
from collections.abc import Mapping

from apps.orchestration.types.workflows import WorkflowEdge, WorkflowNode, WorkflowPicture
from apps.orchestration.workflows import graphs
from apps.orchestration.workflows.frames import Status
from apps.orchestration.workflows.types import Ask, Call, Edge, Graph, Kind, Loop, Map, Node

Tally = Mapping[str, Counter[Status]]
_MATTERS = (
    Status.FAILED,
    Status.RUNNING,
    Status.SUCCEEDED,
    Status.CANCELLED,
    Status.SKIPPED,
    Status.WAITING,
)


def picture(graph: Graph, tally: Tally | None = None) -> WorkflowPicture:
    return WorkflowPicture(
        nodes=tuple(_node(node, tally) for node in graph.nodes),
        edges=tuple(_edge(edge) for edge in graph.edges),
        levels=_levels(graph),
    )


def _levels(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Each node one level below the lowest of those that lead to it."""
    level: dict[str, int] = {}
    for node_id in graphs.in_order(graph):
        above = [level[edge.source] for edge in graphs.incoming(graph, node_id)]
        level[node_id] = max(above, default=-1) + 1
    depth = max(level.values(), default=-1) + 1
    return tuple(tuple(one for one in level if level[one] == row) for row in range(depth))


def _node(node: Node, tally: Tally | None) -> WorkflowNode:
    counts = Counter() if tally is None else +tally.get(node.id, Counter())
    status = next((one for one in _MATTERS if counts[one]), None)
    work = node.work
    return WorkflowNode(
        id=node.id,
        kind=node.kind.value,
        title=_title(node),
        status=status.value if status else "",
        counts={str(one): count for one, count in counts.items()},
        body=picture(work.body, tally) if isinstance(work, Map | Loop) else None,
    )


def _title(node: Node) -> str:
    match node.work:
        case Map(over=over):
            return f"for each of {over}"
        case Loop(until=until):
            return f"until {until}"
        case Ask(route=route):
            return f"route {route}"
        case Call(tool=tool, arguments=arguments):
            return _call_title(node.kind, tool, arguments)
        case _:
            return "chooses one way"


def _call_title(kind: Kind, tool: str, arguments: Mapping[str, object]) -> str:
    if kind is Kind.APPROVAL:
        return "a person approves"
    if kind is Kind.WAIT:
        given = arguments.get("seconds")
        return f"for {given} s" if given is not None else f"for {arguments['name']}"
    return tool if kind is Kind.TOOL else tool.partition("__")[2]


def _edge(edge: Edge) -> WorkflowEdge:
    is_error = edge.on == "error"
    label = "error" if is_error else "otherwise" if edge.otherwise else edge.when or ""
    return WorkflowEdge(source=edge.source, target=edge.target, label=label, is_error=is_error)
