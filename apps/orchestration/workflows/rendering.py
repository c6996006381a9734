"""Templates: JSON whose strings may hold `{{ CEL }}`. A string that is one expression keeps the
type of its value; in others each value stands as text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from apps.orchestration.workflows.expressions import (
    BadExpression,
    Expression,
    compile_expression,
)

OPENS, CLOSES = "{{", "}}"
_QUOTES = "\"'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """An expression, and where in the template's text it begins."""

    source: str
    offset: int


@lru_cache(maxsize=4096)
def parse_template(text: str) -> tuple[str | Slot, ...]:
    """Text and expressions in turn. Raises `BadExpression` where `{{` is never closed."""
    parts: list[str | Slot] = []
    start = 0
    while (found := text.find(OPENS, start)) >= 0:
        end = _end_of(text, found + len(OPENS))
        if end < 0:
            line, column = position_in(text, found)
            raise BadExpression("`{{` is never closed by `}}`.", line=line, column=column)
        inner = text[found + len(OPENS) : end]
        offset = found + len(OPENS) + len(inner) - len(inner.lstrip())
        parts += [text[start:found], Slot(source=inner.strip(), offset=offset)]
        start = end + len(CLOSES)
    parts.append(text[start:])
    return tuple(part for part in parts if part != "")


def _end_of(text: str, start: int) -> int:
    """Where the expression that begins at `start` is closed; braces and quotes inside it count."""
    depth, quote, at = 0, "", start
    while at < len(text):
        char = text[at]
        if quote:
            at += char == "\\"
            quote = "" if char == quote else quote
        elif char in _QUOTES:
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}" and depth == 0:
            return at if text.startswith(CLOSES, at) else -1
        elif char == "}":
            depth -= 1
        at += 1
    return -1


def position_in(text: str, offset: int) -> tuple[int, int]:
    """Line and column from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def render(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with each expression's value. Raises `ExpressionFailed`."""
    if isinstance(template, str):
        return _render_text(template, values)
    if isinstance(template, Mapping):
        return {key: render(item, values) for key, item in template.items()}
    if isinstance(template, list | tuple):
        return [render(item, values) for item in template]
    return template


def _render_text(text: str, values: Mapping[str, Any]) -> Any:
    parts = parse_template(text)
    if len(parts) == 1 and isinstance(parts[0], Slot):
        return _evaluate(parts[0], values)
    return "".join(
        part if isinstance(part, str) else as_text(_evaluate(part, values)) for part in parts
    )


def _evaluate(slot: Slot, values: Mapping[str, Any]) -> Any:
    return compiled(slot.source, values).evaluate(values)


def compiled(source: str, values: Mapping[str, Any]) -> Expression:
    return compile_expression(source, frozenset(values))


def as_text(value: Any) -> str:
    """A value as it stands in a sentence: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def strings_of(template: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each string of the template with its JSON pointer."""
    if isinstance(template, str):
        yield path, template
    elif isinstance(template, Mapping):
        for key, item in template.items():
            yield from strings_of(item, f"{path}/{escape(str(key))}")
    elif isinstance(template, list | tuple):
        for index, item in enumerate(template):
            yield from strings_of(item, f"{path}/{index}")


def escape(key: str) -> str:
    """A key as a part of a JSON pointer. RFC 6901"""
    return key.replace("~", "~0").replace("/", "~1")
