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
