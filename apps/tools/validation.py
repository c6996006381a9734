"""Arguments meet their JSON Schema before a tool sees them; no schema may fetch anything."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

import jsonschema_rs
import orjson

from apps.tools.types import BadArguments

_MOST_LINES = 10


def _refuse(uri: str) -> Any:
    raise ValueError(f"The schema refers to {uri}: copy that definition into the schema itself.")


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(orjson.loads(schema), retriever=_refuse)


def explain_schema(schema: Mapping[str, Any]) -> str | None:
    """Why `schema` is not a JSON Schema that can be used here, or None when it is."""
    try:
        _validator(orjson.dumps(dict(schema), option=orjson.OPT_SORT_KEYS))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return str(getattr(error, "message", "") or error).splitlines()[0]
    return None


def problems(schema: Mapping[str, Any], instance: Any) -> tuple[tuple[str, str], ...]:
    """The first problems of `instance`: where, as a JSON pointer, and what; empty when it fits."""
    validator = _validator(orjson.dumps(dict(schema), option=orjson.OPT_SORT_KEYS))
    return tuple(
        ("".join(f"/{part}" for part in error.instance_path), error.message)
        for error in islice(validator.iter_errors(instance), _MOST_LINES)
    )


def explain_instance(schema: Mapping[str, Any], instance: Any) -> tuple[str, ...]:
    """What is wrong with `instance`, one line each, worded for a model; empty when it fits."""
    return tuple(f"- at {path or '/'}: {what}" for path, what in problems(schema, instance))


def read(schema: Mapping[str, Any], text: str) -> dict[str, Any] | BadArguments:
    """The arguments as a model wrote them, parsed and checked."""
    try:
        arguments = orjson.loads(text) if text.strip() else {}
    except ValueError as error:
        return BadArguments(lines=(f"- the arguments are not JSON: {error}",))
    if not isinstance(arguments, dict):
        return BadArguments(lines=("- the arguments must be a JSON object",))
    lines = explain_instance(schema, arguments)
    return BadArguments(lines=lines) if lines else arguments
