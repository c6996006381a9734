"""What edges say of order: levels, what comes before a node, circles. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from apps.orchestration.workflows.types import Edge, Graph, Loop, Map, Node


def find_circle(graph: Graph) -> tuple[str, ...]:
    """The ids along a circle of edges, the first one again at the end; () where there is none."""
    try:
        tuple(_sorter(graph).static_order())
    except CycleError as error:
        found: Sequence[str] = error.args[1]
        return tuple(reversed(found))
    return ()


def in_order(graph: Graph) -> tuple[str, ...]:
    """Ids so that each comes after all that it waits for; equal ones as they were written."""
    sorter = _sorter(graph)
    place = {node.id: index for index, node in enumerate(graph.nodes)}
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        order += ready
        sorter.done(*ready)
    return tuple(order)


def _sorter(graph: Graph) -> TopologicalSorter[str]:
    return TopologicalSorter(
        {node.id: [edge.source for edge in incoming(graph, node.id)] for node in graph.nodes}
    )


def incoming(graph: Graph, node_id: str) -> list[Edge]:
    return [edge for edge in graph.edges if edge.target == node_id]


def outgoing(graph: Graph, node_id: str) -> list[Edge]:
    return [edge for edge in graph.edges if edge.source == node_id]


def all_before(graph: Graph) -> Mapping[str, frozenset[str]]:
    """For each node the ids from which a path of edges leads to it."""
    before: dict[str, frozenset[str]] = {}
    for node_id in in_order(graph):
        sources = [edge.source for edge in incoming(graph, node_id)]
        before[node_id] = frozenset(sources).union(*(before[source] for source in sources))
    return before


def walk(graph: Graph) -> Iterator[Node]:
    """Every node, also of bodies."""
    for node in graph.nodes:
        yield node
        if isinstance(node.work, Map | Loop):
            yield from walk(node.work.body)


def last_nodes(graph: Graph) -> tuple[Node, ...]:
    """Nodes that no edge leaves on success."""
    sources = {edge.source for edge in graph.edges if edge.on == "success"}
    return tuple(node for node in graph.nodes if node.id not in sources)
