"""Arguments meet their schema; what a model reads about a mistake is enough to repair it."""

from typing import Any

import pytest

from apps.tools import validation
from apps.tools.types import BadArguments

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"days": {"type": "integer", "minimum": 1}, "city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def test_arguments_that_fit_are_parsed() -> None:
    assert validation.read(SCHEMA, '{"city": "Lyon", "days": 3}') == {"city": "Lyon", "days": 3}
    assert validation.read({"type": "object"}, "") == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"city": "Lyon", "days": "3"}', '- at /days: "3" is not of type "integer"'),
        ("{}", '- at /: "city" is a required property'),
        ('{"city": 1', "- the arguments are not JSON"),
        ('["Lyon"]', "- the arguments must be a JSON object"),
        ('{"city": "\\ud800"}', "- the arguments are not JSON"),
        ('{"city": NaN}', "- the arguments are not JSON"),
    ],
)
def test_arguments_that_do_not_fit_say_where_and_why(text: str, line: str) -> None:
    wrong = validation.read(SCHEMA, text)
    assert isinstance(wrong, BadArguments)
    assert any(found.startswith(line) for found in wrong.lines), wrong.lines


def test_many_mistakes_make_a_short_list() -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    assert len(validation.explain_instance(schema, ["x"] * 1000)) == 10


def test_a_schema_can_fetch_nothing() -> None:
    for uri in ("http://127.0.0.1:9/schema.json", "file:///etc/passwd"):
        assert validation.explain_schema({"$ref": uri})
    assert validation.explain_schema({"type": "nonsense"})
    assert validation.explain_schema(SCHEMA) is None


DRAFTS = [
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
]


@pytest.mark.parametrize("draft", DRAFTS)
def test_schemas_of_every_draft_in_use_are_understood(draft: str) -> None:
    assert validation.explain_schema(SCHEMA | {"$schema": draft}) is None
    assert validation.read(SCHEMA | {"$schema": draft}, '{"city": "Lyon"}') == {"city": "Lyon"}


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"x": value}
    return value


DOUBLING = {
    "$defs": {
        **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)},
        "d40": {"type": "object"},
    },
    "$ref": "#/$defs/d0",
}
BRANCHING = {
    "$defs": {
        "a": {
            "anyOf": [
                {"properties": {"x": {"$ref": "#/$defs/a"}}, "required": [name]} for name in "yz"
            ]
        }
    },
    "$ref": "#/$defs/a",
}
BACKTRACKING = {"items": {"pattern": r"^(?=a)(a|aa)+(?=c)$"}}
MANY_MISTAKES = {"items": {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (DOUBLING, {}),
        (BRANCHING, nested(12)),
        (BRANCHING, nested(40)),
        (BACKTRACKING, ["a" * 60] * 500),
        (MANY_MISTAKES, ["x"] * 50_000),
    ],
    ids=["doubling", "branching", "deep", "backtracking", "mistakes"],
)
def test_no_schema_keeps_a_worker_busy(schema: dict[str, Any], value: Any) -> None:
    import time

    began = time.process_time()
    assert validation.explain_instance(schema, value)
    assert time.process_time() - began < 2.0  # unbounded, each takes minutes or more


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"$dynamicRef": "#x", "$dynamicAnchor": "x"},
        {"properties": {str(n): {"pattern": "a"} for n in range(100)}},
        {"properties": {str(n): {} for n in range(5000)}},
        {"properties": {"a": {"$id": "http://x/", "$ref": "#/properties/a"}}},
        {"description": "x" * 300_000},
    ],
)
def test_schemas_without_bounds_are_refused(schema: dict[str, Any]) -> None:
    assert validation.explain_schema(schema)


def test_a_recursive_schema_is_used_as_deep_as_people_go() -> None:
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
        "additionalProperties": False,
    }
    value: Any = {}
    for _ in range(15):
        value = {"children": [value, {}]}
    assert validation.explain_instance(tree, value) == ()
    assert validation.explain_instance(tree, {"children": [{"other": 1}]})


def test_arguments_have_a_largest_size() -> None:
    wrong = validation.read({"type": "object"}, '{"a": "' + "x" * 2_000_000 + '"}')
    assert isinstance(wrong, BadArguments)
