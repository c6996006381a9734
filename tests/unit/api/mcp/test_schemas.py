"""Schemas of the catalogue, in the form that every client accepts."""

from apps.api.mcp import schemas


def test_arguments_are_always_an_object() -> None:
    assert schemas.of_arguments({}) == {"type": "object"}
    assert schemas.of_arguments({"properties": {"a": {}}})["type"] == "object"


def test_no_argument_has_to_be_repeated_in_a_header() -> None:
    nested = {"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]}
    assert schemas.of_arguments(nested) == {
        "type": "object",
        "anyOf": [{"properties": {"a": {"type": "string"}}}],
    }


def test_an_answer_that_is_no_object_has_no_schema() -> None:
    assert schemas.of_answer(None) is None
    assert schemas.of_answer({"type": "array"}) is None
    assert schemas.of_answer({"type": "object"}) == {"type": "object"}
