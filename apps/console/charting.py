"""Where the boxes and lines of a workflow's picture go, from top to bottom, bodies inside their
node. Sizes are in CSS pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from apps.orchestration.types.workflows import WorkflowEdge, WorkflowNode, WorkflowPicture

_WIDTH, _HEIGHT = 168, 46
_GAP, _DROP = 20, 56
_HEAD, _PAD = 44, 14
_MOST_LETTERS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node, or with `is_open` one that holds the boxes of its body."""

    node: WorkflowNode
    title: str
    x: int
    y: int
    width: int
    height: int
    is_open: bool
    progress: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An edge as an SVG path; its label stands at `x`, `y`, above its target."""

    edge: WorkflowEdge
    label: str
    path: str
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Boxes in the order in which they are painted."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def chart_of(picture: WorkflowPicture) -> Chart:
    nodes = {node.id: node for node in picture.nodes}
    inner = {node.id: chart_of(node.body) for node in picture.nodes if node.body}
    sizes = {one: _size(inner.get(one)) for one in nodes}
    rows = [[sizes[one] for one in level] for level in picture.levels]
    width = max((_row_width(row) for row in rows), default=0)
    boxes: dict[str, Box] = {}
    y = 0
    for level, row in zip(picture.levels, rows, strict=True):
        x = (width - _row_width(row)) // 2
        for one in _untangled(level, picture.edges, boxes):
            boxes[one] = _box(nodes[one], x, y, sizes[one])
            x += sizes[one][0] + _GAP
        y += max(height for _, height in row) + _DROP
    inside = [_moved(inner[one], boxes[one]) for one in inner]
    lines = [_line(edge, boxes) for edge in picture.edges]
    return Chart(
        width=width,
        height=max(y - _DROP, 0),
        boxes=(*boxes.values(), *(box for chart in inside for box in chart.boxes)),
        lines=(*lines, *(line for chart in inside for line in chart.lines)),
    )


def _untangled(
    level: tuple[str, ...], edges: tuple[WorkflowEdge, ...], boxes: Mapping[str, Box]
) -> list[str]:
    """From left to right as what leads to them stands, so that fewer lines cross."""

    def middle(node_id: str) -> float:
        above = [boxes[edge.source] for edge in edges if edge.target == node_id]
        return sum(box.x + box.width / 2 for box in above) / max(len(above), 1)

    return sorted(level, key=middle)


def _size(body: Chart | None) -> tuple[int, int]:
    if body is None:
        return _WIDTH, _HEIGHT
    return max(body.width + 2 * _PAD, _WIDTH), body.height + _HEAD + _PAD


def _row_width(row: list[tuple[int, int]]) -> int:
    return sum(width for width, _ in row) + _GAP * (len(row) - 1)


def _box(node: WorkflowNode, x: int, y: int, size: tuple[int, int]) -> Box:
    most = _MOST_LETTERS * size[0] // _WIDTH
    return Box(
        node=node,
        title=_short(node.title, most),
        x=x,
        y=y,
        width=size[0],
        height=size[1],
        is_open=node.body is not None,
        progress=_progress(node.counts),
    )


def _progress(counts: Mapping[str, int]) -> str:
    """How many are done of a node that is carried out several times."""
    total = sum(counts.values())
    done = total - counts.get("running", 0) - counts.get("waiting", 0)
    return f"{done}/{total}" if total > 1 else ""


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _moved(chart: Chart, around: Box) -> Chart:
    """The body's chart where it lies inside its node."""
    left = around.x + (around.width - chart.width) // 2
    top = around.y + _HEAD
    boxes = tuple(replace(box, x=box.x + left, y=box.y + top) for box in chart.boxes)
    at = {box.node.id: box for box in boxes}
    return replace(chart, boxes=boxes, lines=tuple(_line(line.edge, at) for line in chart.lines))


def _line(edge: WorkflowEdge, boxes: Mapping[str, Box]) -> Line:
    source, target = boxes[edge.source], boxes[edge.target]
    x1, y1 = source.x + source.width // 2, source.y + source.height
    x2, y2 = target.x + target.width // 2, target.y
    bend = max((y2 - y1) // 2, 12)
    return Line(
        edge=edge,
        label=_short(edge.label, _MOST_LETTERS),
        path=f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2 - 5}",
        x=x2,
        y=y2 - 14,
    )
