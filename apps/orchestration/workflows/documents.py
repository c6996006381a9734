"""A definition as text, YAML or JSON, with the place in the text of every value in it.

Only plain data is read: no tags, no aliases, no duplicate keys; sizes and depth are bounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from apps.orchestration.types.workflows import WorkflowProblem
from apps.orchestration.workflows.rendering import escape

MOST_BYTES = 512_000
DEEPEST = 40
_LITERAL = "|"
_FOLDED = ">"


class Unreadable(ValueError):
    """The text is no definition."""

    def __init__(self, problem: WorkflowProblem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value begins. `text_line` and `text_column` are where its own text does, unless it
    is written so that a place inside it cannot be told (`exact`).
    """

    line: int
    column: int
    text_line: int
    text_column: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """`places` by JSON pointer; that of a key is at `#<pointer>`."""

    data: Any
    source: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)

    def problem(
        self, path: str, detail: str, *, line: int = 1, column: int = 1, key: bool = False
    ) -> WorkflowProblem:
        """At the value that `path` names, or at its key; `line`, `column` are inside its text."""
        place = self.places.get(f"#{path}") if key else None
        place = place or self._nearest(path)
        if place is None:
            return WorkflowProblem(path=path, detail=detail)
        if key or not place.exact or (line, column) == (1, 1):
            at = (place.line, place.column)
        elif line == 1:
            at = (place.text_line, place.text_column + column - 1)
        else:
            at = (place.text_line + line - 1, place.text_column + column - 1)
        return WorkflowProblem(path=path, detail=detail, line=at[0], column=at[1])

    def _nearest(self, path: str) -> Place | None:
        while path and path not in self.places:
            path = path.rpartition("/")[0]
        return self.places.get(path)


def read_document(text: str) -> Document:
    """JSON is YAML, so one reader reads both. Raises `Unreadable`."""
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise Unreadable(
            WorkflowProblem(path="", detail=f"the definition is over {MOST_BYTES} bytes.")
        )
    try:
        _refuse_deep(text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise Unreadable(_syntax(text, error)) from None
    except yaml.YAMLError as error:
        raise Unreadable(WorkflowProblem(path="", detail=f"this is no YAML: {error}")) from None
    if root is None:
        raise Unreadable(
            WorkflowProblem(path="", detail="the definition is empty.", line=1, column=1)
        )
    reader = _Reader(text)
    data = reader.take(root, "")
    return Document(data=data, source=text, places=reader.places)


def _refuse_deep(text: str) -> None:
    """Composing takes a call for each level, so depth is bounded before."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            at = event.start_mark
            line, column = (at.line + 1, at.column + 1) if at else (1, 1)
            detail = f"values are nested deeper than {DEEPEST}."
            raise Unreadable(WorkflowProblem(path="", detail=detail, line=line, column=column))


def _syntax(text: str, error: yaml.MarkedYAMLError) -> WorkflowProblem:
    lines = text.splitlines()
    mark = error.problem_mark or error.context_mark
    said = " ".join(part for part in (error.context, error.problem) if part)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if line > len(lines):  # what is missing is missing at the end
        line, column = len(lines), len(lines[-1]) + 1
    return WorkflowProblem(path="", detail=f"this is no YAML: {said}.", line=line, column=column)


class _Reader:
    def __init__(self, text: str) -> None:
        self.lines = text.splitlines() or [""]
        self.places: dict[str, Place] = {}
        self._seen: set[int] = set()

    def take(self, node: yaml.Node, path: str) -> Any:
        self.places[path] = self._place(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._seen:
            raise self._unreadable(node, path, "anchors and aliases are not read; repeat it.")
        self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            return [self.take(item, f"{path}/{index}") for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: yaml.Node, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                raise self._unreadable(key_node, path, "a key must be a word.")
            key = str(key_node.value)
            below = f"{path}/{escape(key)}"
            if key in found:
                raise self._unreadable(key_node, below, f"the key {key!r} stands here twice.")
            self.places[f"#{below}"] = self._place(key_node)
            found[key] = self.take(value_node, below)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind in {"timestamp", "binary", "value"}:  # a date is a word to us
            return node.value
        if kind not in {"str", "int", "float", "bool", "null"}:
            raise self._unreadable(node, path, f"the tag {node.tag!r} is not read.")
        try:
            value = yaml.SafeLoader("").construct_object(node)
        except (ValueError, yaml.YAMLError):
            raise self._unreadable(node, path, f"{node.value!r} is no {kind}.") from None
        if isinstance(value, float) and value - value != 0:
            raise self._unreadable(node, path, f"{node.value!r} is no finite number.")
        return value

    def _place(self, node: yaml.Node) -> Place:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        style = getattr(node, "style", None)
        if style == _LITERAL:
            first = self._first_line(node)
            return Place(
                line=line, column=column, text_line=first[0], text_column=first[1], exact=True
            )
        is_one_line = node.start_mark.line == node.end_mark.line
        exact = is_one_line and not (style == '"' and "\\" in self.lines[line - 1])
        return Place(
            line=line,
            column=column,
            text_line=line,
            text_column=column + (style in {'"', "'"}),
            exact=exact and style != _FOLDED,
        )

    def _first_line(self, node: yaml.Node) -> tuple[int, int]:
        """Where the text of a block begins: after its header, behind its indentation."""
        last = min(node.end_mark.line + 1, len(self.lines))
        for number in range(node.start_mark.line + 1, last):
            text = self.lines[number]
            if text.strip():
                return node.start_mark.line + 2, len(text) - len(text.lstrip(" ")) + 1
        return node.start_mark.line + 2, 1

    def _unreadable(self, node: yaml.Node, path: str, detail: str) -> Unreadable:
        mark = node.start_mark
        return Unreadable(
            WorkflowProblem(path=path, detail=detail, line=mark.line + 1, column=mark.column + 1)
        )


def write_document(data: Mapping[str, Any]) -> str:
    """Readable YAML that `read_document` reads back as the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, so that a person can read and change them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = _LITERAL if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
