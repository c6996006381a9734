"""Arguments meet their JSON Schema before a tool sees them; no schema may fetch anything, and none
may keep a worker busy: its size, its patterns and the steps it can ask for are bounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import jsonschema_rs
import orjson

from apps.tools import costs
from apps.tools.types import BadArguments

_MOST_LINES = 10
_LONGEST_LINE = 300
_MOST_BYTES = 1024 * 1024  # of arguments
_MOST_SCHEMA_BYTES = 256 * 1024
_MOST_STEPS = 20_000_000  # a second at the very most for a yes or no
_MOST_EXPLAINED_STEPS = 5_000  # explaining is a thousand times slower
_REGEX = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000, size_limit=2**20)


@dataclass(frozen=True, slots=True)
class _Checker:
    validator: jsonschema_rs.Validator
    steps_by_depth: tuple[int, ...]

    def steps(self, instance: Any) -> int:
        """The most that checking `instance` can take."""
        depth, count = costs.measure(instance)
        return self.steps_by_depth[min(depth, len(self.steps_by_depth) - 1)] * count


def _refuse(uri: str) -> Any:
    raise ValueError(f"The schema refers to {uri}: copy that definition into the schema itself.")


@lru_cache(maxsize=512)
def _checker(schema: bytes) -> _Checker:
    if len(schema) > _MOST_SCHEMA_BYTES:
        raise ValueError(f"it is larger than {_MOST_SCHEMA_BYTES // 1024} KiB")
    parsed = orjson.loads(schema)
    steps = costs.steps_by_depth(parsed)
    validator = jsonschema_rs.validator_for(parsed, retriever=_refuse, pattern_options=_REGEX)
    return _Checker(validator, steps)


def _checker_of(schema: Mapping[str, Any]) -> _Checker:
    return _checker(orjson.dumps(dict(schema), option=orjson.OPT_SORT_KEYS))


def explain_schema(schema: Mapping[str, Any]) -> str | None:
    """Why `schema` is not a JSON Schema that can be used here, or None when it is."""
    try:
        _checker_of(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        return str(getattr(error, "message", "") or error).splitlines()[0]
    except (ValueError, TypeError) as error:  # TypeError: orjson, for what no JSON can say
        return str(error).splitlines()[0]
    return None


def problems(schema: Mapping[str, Any], instance: Any) -> tuple[tuple[str, str], ...]:
    """The first problems of `instance`: where, as a JSON pointer, and what; empty when it fits."""
    checker = _checker_of(schema)
    steps = checker.steps(instance)
    if steps > _MOST_STEPS:
        return (("", "too large or too deeply nested for this schema; send less at once"),)
    if checker.validator.is_valid(instance):
        return ()
    if steps > _MOST_EXPLAINED_STEPS:
        return (("", "does not fit the schema; it is too large for a list of the mistakes"),)
    errors = islice(checker.validator.iter_errors(instance), _MOST_LINES)
    return tuple(
        ("".join(f"/{part}" for part in error.instance_path), error.message[:_LONGEST_LINE])
        for error in errors
    )


def explain_instance(schema: Mapping[str, Any], instance: Any) -> tuple[str, ...]:
    """What is wrong with `instance`, one line each, worded for a model; empty when it fits."""
    lines = (f"- at {path or '/'}: {what}" for path, what in problems(schema, instance))
    return tuple(line[:_LONGEST_LINE] for line in lines)


def read(schema: Mapping[str, Any], text: str) -> dict[str, Any] | BadArguments:
    """The arguments as a model wrote them, parsed and checked."""
    if len(text) > _MOST_BYTES:
        return BadArguments(lines=(f"- the arguments are longer than {_MOST_BYTES:,} characters",))
    try:
        arguments = orjson.loads(text) if text.strip() else {}
    except ValueError as error:
        return BadArguments(lines=(f"- the arguments are not JSON: {error}",))
    if not isinstance(arguments, dict):
        return BadArguments(lines=("- the arguments must be a JSON object",))
    lines = explain_instance(schema, arguments)
    return BadArguments(lines=lines) if lines else arguments
