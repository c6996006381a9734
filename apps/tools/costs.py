"""How much work a schema can ask for: a validator follows every branch, so a few lines of schema
can mean millions of steps for a small value.

A step is one subschema applied to one place of the value. Keywords: JSON Schema 2020-12, 2019-09
and draft 7. https://json-schema.org/draft/2020-12/json-schema-core#section-10
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

_MOST_SUBSCHEMAS = 4_000
_MOST_PATTERNS = 64
_DEEPEST = 48  # levels of a value that are looked at
_COUNTLESS = 10**12

_HERE = ("not", "if", "then", "else")
_HERE_LISTS = ("allOf", "anyOf", "oneOf")
_HERE_MAPS = ("dependentSchemas", "dependencies")
_BELOW = (
    *("additionalProperties", "additionalItems", "items", "contains", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
_BELOW_LISTS = ("prefixItems", "items")
_NAMES = ("$anchor", "$dynamicAnchor", "$id")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class TooCostly(ValueError):
    """The schema cannot be bounded; the message says why."""


@dataclass(frozen=True, slots=True)
class _Node:
    """Subschemas applied to the same place; to all children; and to one child each."""

    here: tuple[int, ...]
    below: tuple[int, ...]
    each: tuple[int, ...]


def steps_by_depth(schema: Mapping[str, Any]) -> tuple[int, ...]:
    """The most steps for one path down a value that is 0, 1, 2, … levels deep.

    Raises `TooCostly` for a schema that is too large, or that refers to itself in place.
    """
    nodes = _Graph(schema).nodes
    order = _in_place_order(nodes)
    previous = [0] * len(nodes)
    totals = []
    for _ in range(_DEEPEST):
        counts = [0] * len(nodes)
        for index in order:
            node = nodes[index]
            children = sum(previous[child] for child in node.below)
            children += max((previous[child] for child in node.each), default=0)
            steps = 1 + children + sum(counts[child] for child in node.here)
            counts[index] = min(steps, _COUNTLESS)
        previous = counts
        totals.append(counts[0])
    return tuple(totals)


def measure(value: Any) -> tuple[int, int]:
    """How many levels deep a JSON value is, and how many values it holds."""
    depth, count, level = 0, 0, [value]
    while level:
        count += len(level)
        below = [
            inner
            for node in level
            if isinstance(node, dict | list)
            for inner in (node.values() if isinstance(node, dict) else node)
        ]
        depth, level = depth + bool(below), below
    return depth, count


class _Graph:
    """The subschemas that can be reached from the root, which is node 0."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._patterns = 0
        self._numbers: dict[int, int] = {}
        self._schemas: list[Any] = []
        self._anchors = _anchors(root)
        self._number(root)
        self.nodes: list[_Node] = []
        while len(self.nodes) < len(self._schemas):
            self.nodes.append(self._node(self._schemas[len(self.nodes)]))

    def _number(self, schema: Any) -> int:
        known = self._numbers.get(id(schema)) if isinstance(schema, dict) else None
        if known is not None:
            return known
        if len(self._schemas) >= _MOST_SUBSCHEMAS:
            raise TooCostly(f"it has more than {_MOST_SUBSCHEMAS:,} subschemas")
        self._schemas.append(schema)
        if isinstance(schema, dict):
            self._numbers[id(schema)] = len(self._schemas) - 1
        return len(self._schemas) - 1

    def _node(self, schema: Any) -> _Node:
        if not isinstance(schema, dict):
            return _Node((), (), ())
        if schema is not self._root and isinstance(schema.get("$id"), str):
            raise TooCostly("a part of it has an $id of its own: refer to parts by '#/$defs/…'")
        self._count_patterns(schema)
        here = [*_values(schema, _HERE, _HERE_LISTS, _HERE_MAPS), *self._targets(schema)]
        below = _values(schema, _BELOW, (), ("patternProperties",))
        each = _values(schema, (), _BELOW_LISTS, ("properties",))
        return _Node(*(tuple(self._number(one) for one in part) for part in (here, below, each)))

    def _count_patterns(self, schema: Mapping[str, Any]) -> None:
        keyed = schema.get("patternProperties")
        self._patterns += len(keyed) if isinstance(keyed, dict) else 0
        self._patterns += isinstance(schema.get("pattern"), str)
        if self._patterns > _MOST_PATTERNS:
            raise TooCostly(f"it has more than {_MOST_PATTERNS} patterns")

    def _targets(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        for keyword in _REFERENCES:
            reference = schema.get(keyword)
            if not isinstance(reference, str):
                continue
            if not reference.startswith("#"):
                raise TooCostly(f"it refers to {reference}: copy that definition into the schema")
            fragment = unquote(reference[1:])
            if fragment and not fragment.startswith("/"):
                yield from self._anchors.get(fragment, ())
            else:
                yield _pointed(self._root, fragment)


def _values(
    schema: Mapping[str, Any],
    single: tuple[str, ...],
    lists: tuple[str, ...],
    maps: tuple[str, ...],
) -> Iterator[Any]:
    for keyword in single:
        if isinstance(schema.get(keyword), dict):
            yield schema[keyword]
    for keyword in lists:
        if isinstance(schema.get(keyword), list):
            yield from schema[keyword]
    for keyword in maps:
        if isinstance(schema.get(keyword), dict):
            yield from (one for one in schema[keyword].values() if isinstance(one, dict | bool))


def _anchors(root: Any) -> dict[str, list[Any]]:
    """Every object of the schema by the names that it can be referred to with."""
    found: dict[str, list[Any]] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict | list):
            continue
        waiting.extend(node.values() if isinstance(node, dict) else node)
        names = [node.get(key) for key in _NAMES] if isinstance(node, dict) else []
        for name in (name for name in names if isinstance(name, str)):
            found.setdefault(name.removeprefix("#"), []).append(node)
    return found


def _pointed(root: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to; nothing that costs where it leads nowhere."""
    node = root
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(name)
        elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return node


def _in_place_order(nodes: list[_Node]) -> list[int]:
    """Every node after those it applies in place. Raises `TooCostly` where none comes first."""
    waiting = [len(set(node.here)) for node in nodes]
    users: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        for child in set(node.here):
            users[child].append(index)
    order = [index for index, count in enumerate(waiting) if not count]
    for index in order:
        for user in users[index]:
            waiting[user] -= 1
            if not waiting[user]:
                order.append(user)
    if len(order) < len(nodes):
        raise TooCostly("it refers to itself without going any deeper into the value")
    return order
