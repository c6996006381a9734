"""A definition as it came over the wire, made safe to keep: what cannot be used says why.

The hash covers name, title, description, schemas and annotations exactly as the server sent them.
"""

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from apps.tools import costs, screening, validation
from apps.tools.types import Definition

_HASHED = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
_MOST_BYTES = 128 * 1024
_MOST_DEPTH = 48
_LONGEST_NAME = 200
_MOST_SECONDS = 10.0  # for all definitions of a server
_NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}}


def names_a_tool(raw: Any) -> bool:
    """Whether the entry of a list has a name by which it can be called and written down."""
    name = raw.get("name") if isinstance(raw, dict) else None
    return isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable()


def read_all(listed: Sequence[Mapping[str, Any]]) -> tuple[Definition, ...]:
    """The definitions by name; of several with one name only the first can be meant."""
    first = {raw["name"]: raw for raw in reversed(listed)}
    until = time.monotonic() + _MOST_SECONDS
    return tuple(read(first[name], until=until) for name in sorted(first))


def read(raw: Mapping[str, Any], *, until: float = math.inf) -> Definition:
    """The definition, mended where that changes nothing for a caller: a missing or empty input
    schema takes any object, and an output schema or annotations of the wrong kind are left out.

    After `until` (of `time.monotonic`) no schema is looked at any more: it may be slow on purpose.
    """
    shown = _shown(raw)
    digest, problem = hash_of(raw), _unkeepable(shown)
    if time.monotonic() > until:
        problem = "the server's schemas take too long to check"
    if problem:
        return _unusable(raw["name"], digest, problem)
    schema, problem = _input_schema(raw.get("inputSchema"))
    output = raw.get("outputSchema")
    annotations = raw.get("annotations")
    known = annotations if isinstance(annotations, dict) else {}
    return Definition(
        name=raw["name"],
        title=_text(raw.get("title")) or _text(known.get("title")),
        description=_text(raw.get("description")),
        input_schema=schema,
        output_schema=output if isinstance(output, dict) and output else None,
        annotations=known,
        hash=digest,
        warnings=screening.find_steering(shown),
        problem=problem,
    )


def hash_of(raw: Mapping[str, Any]) -> str:
    """SHA-256 over JSON with sorted keys and no blanks."""
    return hashlib.sha256(_bytes(_shown(raw))).hexdigest()


def to_json(definition: Definition) -> dict[str, Any]:
    """For a JSON column."""
    return {
        "title": definition.title,
        "description": definition.description,
        "input_schema": definition.input_schema,
        "output_schema": definition.output_schema,
        "annotations": definition.annotations,
        "warnings": list(definition.warnings),
    }


def _shown(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: raw[key] for key in _HASHED if raw.get(key) is not None}


def _bytes(shown: Mapping[str, Any]) -> bytes:
    text = json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


def _unkeepable(shown: Mapping[str, Any]) -> str:
    """Why nothing of this definition can be kept or shown; "" when it can."""
    if len(_bytes(shown)) > _MOST_BYTES:
        return f"the definition is larger than {_MOST_BYTES // 1024} KiB"
    if costs.measure(shown)[0] > _MOST_DEPTH:
        return f"the definition is nested more than {_MOST_DEPTH} levels deep"
    try:
        json.dumps(shown, allow_nan=False)
        orjson.dumps(shown)
    except (TypeError, ValueError) as error:
        return f"the definition is not JSON that can be kept: {error}"
    return screening.find_invisible(shown)


def _input_schema(schema: Any) -> tuple[Mapping[str, Any], str]:
    """The schema arguments are checked against, and why the tool's own cannot be used."""
    if schema is None or schema == {}:
        return {"type": "object"}, ""
    if not isinstance(schema, dict):
        return _NO_ARGUMENTS, "its inputSchema is not an object"
    if schema.get("type", "object") != "object":
        return (
            _NO_ARGUMENTS,
            f"its inputSchema is for {schema['type']!r}, and arguments are an object",
        )
    mended = {"type": "object", **schema}
    wrong = validation.explain_schema(mended)
    return (_NO_ARGUMENTS, f"its inputSchema cannot be used: {wrong}") if wrong else (mended, "")


def _unusable(name: str, digest: str, problem: str) -> Definition:
    return Definition(
        name=name,
        title="",
        description="",
        input_schema=_NO_ARGUMENTS,
        output_schema=None,
        annotations={},
        hash=digest,
        problem=problem,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
