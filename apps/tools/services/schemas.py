"""JSON Schema for every layer that takes data from a model. Remote references are never fetched."""

from collections.abc import Mapping
from typing import Any

from apps.tools import validation
from apps.tools.types import BadArguments, ToolView


def validate_arguments(*, tool: ToolView, arguments: str) -> dict[str, Any] | BadArguments:
    """The parsed arguments, or what is wrong with them in lines that a model can repair from."""
    return validation.read(tool.input_schema, arguments)


def check_schema(*, schema: Mapping[str, Any]) -> str | None:
    """Why `schema` is not a usable JSON Schema, or None."""
    return validation.explain_schema(schema)


def list_problems(*, schema: Mapping[str, Any], instance: Any) -> tuple[tuple[str, str], ...]:
    """What in `instance` does not fit `schema`: JSON pointer and reason of each problem."""
    return validation.problems(schema, instance)


def check_instance(*, schema: Mapping[str, Any], instance: Any) -> tuple[str, ...]:
    """What in `instance` does not fit `schema`, one line each; empty when it fits."""
    return validation.explain_instance(schema, instance)
