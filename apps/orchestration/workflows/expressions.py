"""CEL with bounds: an expression sees declared names only, and always ends.

Regular expressions run on RE2, nesting and iterations are bounded by the library, list sizes here,
because building a list costs the square of its length. https://cel.dev
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

LONGEST = 4_000
MOST_ITEMS = 1_000
_LARGEST_INTEGER = 2**63 - 1
_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_CODE = re.compile(r"^[A-Z_]+: ")
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'.*")
_TYPES = {"input": cel.Type.DYN, "item": cel.Type.DYN, "last": cel.Type.DYN}
_COUNTERS = {"index", "round"}
_NODE = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)


class BadExpression(ValueError):
    """It cannot be compiled. `line` and `column` count from 1, within the expression."""

    def __init__(self, detail: str, *, line: int = 1, column: int = 1) -> None:
        super().__init__(detail)
        self.detail, self.line, self.column = detail, line, column


class ExpressionFailed(Exception):
    """It has no value for these inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A compiled expression. `names` are those of its scope that it may read."""

    source: str
    names: tuple[str, ...]
    compiled: cel.Expression

    @property
    def may_be_bool(self) -> bool:
        return self.compiled.return_type() in (cel.Type.BOOL, cel.Type.DYN)

    @property
    def may_be_list(self) -> bool:
        kind = self.compiled.return_type()
        return kind == cel.Type.DYN or str(kind).startswith("LIST")

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Plain JSON. Raises `ExpressionFailed`."""
        data = {name: _given(values[name], name) for name in self.names}
        try:
            result = self.compiled.eval(data=data)
        except RuntimeError as error:
            raise ExpressionFailed(f"`{self.source}` failed: {_said(error)}") from None
        value = result.plain_value()
        if result.type() == cel.Type.ERROR:
            raise ExpressionFailed(f"`{self.source}` failed: {_said(value)}")
        return _taken(value)


@lru_cache(maxsize=4096)
def compile_expression(source: str, names: frozenset[str]) -> Expression:
    """Type-checked against the names in scope. Raises `BadExpression`."""
    if len(source) > LONGEST:
        raise BadExpression(f"is longer than {LONGEST} characters; move work into a node.")
    try:
        compiled = _environment(names).compile(source)
    except (RuntimeError, UnicodeError) as error:
        raise _bad(str(error), source, names) from None
    used = tuple(sorted(name for name in names if _is_named(name, source)))
    return Expression(source=source, names=used, compiled=compiled)


@lru_cache(maxsize=1024)
def _environment(names: frozenset[str]) -> cel.Env:
    return cel.NewEnv(variables={name: _type_of(name) for name in sorted(names)})


def _type_of(name: str) -> cel.Type:
    return cel.Type.INT if name in _COUNTERS else _TYPES.get(name, _NODE)


def _is_named(name: str, source: str) -> bool:
    return (
        re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", re.sub(r"\s*\.\s*", ".", source))
        is not None
    )


def _bad(said: str, source: str, names: frozenset[str]) -> BadExpression:
    found = _ERROR.search(said)
    if found is None or int(found[1]) < 1:
        return BadExpression(
            _CODE.sub("", said.splitlines()[0]).removesuffix(" [INVALID_ARGUMENT]")
        )
    detail = found[3].removesuffix(" [INVALID_ARGUMENT]")
    line, column = int(found[1]), int(found[2])
    unknown = _UNDECLARED.match(detail)
    if unknown:
        name = unknown[1]
        column = _start_of(source, line, column, name)
        known = ", ".join(sorted(names))
        detail = f"`{name}` is not known here. In scope: {known}."
    elif detail.startswith("Syntax error: "):
        detail = f"{detail.partition(', expecting')[0].partition(' expecting ')[0]}."
    return BadExpression(detail, line=line, column=column)


def _start_of(source: str, line: int, column: int, name: str) -> int:
    """The library points at the last dot of a qualified name; people look for its first letter."""
    text = source.splitlines()[line - 1]
    return text.rfind(name, 0, column + len(name)) + 1 or column


def _said(error: Any) -> str:
    text = _CODE.sub("", str(error)).removesuffix(" [INTERNAL]")
    return text.replace("Applying SELECT to non-message type", "a field of what is no object")


def _given(value: Any, name: str) -> Any:
    """JSON as CEL takes it: 64-bit integers, no NUL, no lone surrogates, lists of bounded size."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode().replace("\0", "\ufffd")
    if isinstance(value, Mapping):
        return {_given(key, name): _given(item, name) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if len(value) > MOST_ITEMS:
            raise ExpressionFailed(
                f"`{name}` holds a list of {len(value)} items; an expression reads at most "
                f"{MOST_ITEMS}."
            )
        return [_given(item, name) for item in value]
    if isinstance(value, int) and not -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
        return float(value)
    return value


def _taken(value: Any) -> Any:
    """A CEL value as JSON."""
    if isinstance(value, dict):
        return {str(key): _taken(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_taken(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="replace")
    if isinstance(value, float) and value - value != 0:
        raise ExpressionFailed("the result is not a finite number.")
    return value if isinstance(value, str | int | float | None) else str(value)
