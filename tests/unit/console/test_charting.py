"""A workflow's picture: below what leads to it, bodies inside, nothing on top of anything else."""

from itertools import combinations

from apps.console.charting import Box, chart_of
from apps.orchestration.types.workflows import WorkflowEdge, WorkflowNode, WorkflowPicture


def node(name: str, body: WorkflowPicture | None = None) -> WorkflowNode:
    return WorkflowNode(id=name, kind="tool", title="does " * 20, body=body)


def edge(source: str, target: str) -> WorkflowEdge:
    return WorkflowEdge(source=source, target=target, label="", is_error=False)


def overlap(one: Box, other: Box) -> bool:
    across = one.x < other.x + other.width and other.x < one.x + one.width
    return across and one.y < other.y + other.height and other.y < one.y + one.height


def test_boxes_stand_below_what_leads_to_them_and_bodies_inside_their_node() -> None:
    inner = WorkflowPicture(
        nodes=(node("x"), node("y")), edges=(edge("x", "y"),), levels=(("x",), ("y",))
    )
    chart = chart_of(
        WorkflowPicture(
            nodes=(node("a"), node("m", inner), node("b")),
            edges=(edge("a", "b"), edge("m", "b")),
            levels=(("a", "m"), ("b",)),
        )
    )
    boxes = {box.node.id: box for box in chart.boxes}
    assert boxes["b"].y > boxes["m"].y + boxes["m"].height
    for one, other in combinations("amb", 2):
        assert not overlap(boxes[one], boxes[other])
    outer = boxes["m"]
    for name in "xy":
        assert outer.x < boxes[name].x
        assert boxes[name].x + boxes[name].width < outer.x + outer.width
        assert outer.y < boxes[name].y
        assert boxes[name].y + boxes[name].height < outer.y + outer.height
    assert boxes["a"].title.endswith("…")
    assert max(box.x + box.width for box in chart.boxes) <= chart.width
    assert len(chart.lines) == 3
