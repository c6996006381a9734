"""JSON Schemas of the catalogue in the form that every protocol version accepts."""

from collections.abc import Mapping
from typing import Any

_MIRRORED = "x-mcp-header"


def of_arguments(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Says `type: object` at its root, and asks for no argument to be repeated in a header: what a
    call is judged by is its body.
    """
    return {**_without_headers(schema), "type": "object"}


def of_answer(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """None for what is no object: older clients would refuse the whole list."""
    if schema is None or schema.get("type") != "object":
        return None
    return dict(schema)


def closed(required: tuple[str, ...], **properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object of exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _without_headers(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {k: _without_headers(v) for k, v in schema.items() if k != _MIRRORED}
    if isinstance(schema, list):
        return [_without_headers(part) for part in schema]
    return schema
