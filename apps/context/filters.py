"""Compiles a filter into SQL in which every name and value is a parameter; what it cannot compile
it refuses with the path.

`{"topic": {"eq": "refunds"}}` asks about metadata, `{"author": {"in": […]}}` about provenance; all
conditions of an object must hold. `and`, `or` and `not` nest.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NoReturn

import orjson
from django.utils.dateparse import parse_datetime

from apps.context.requirements import wrong_json
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput, NotFound

OPERATORS = ("eq", "ne", "in", "gt", "gte", "lt", "lte", "range", "exists", "text", "prefix")
MAX_CONDITIONS = 100
_DEPTH = 10
_VALUES = 1000
_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

_TEXTS = {
    "key": "e.key",
    "kind": "v.kind",
    "trust": "v.trust",
    "author": "v.author_name",
    "author_kind": "v.author_kind",
    "operation": "v.operation",
}
_TIMES = {
    "created_at": "v.created_at",
    "valid_from": "v.valid_from",
    "valid_to": "v.valid_to",
    "expires_at": "v.expires_at",
}
_METADATA = "{metadata}"  # whose, is put in at the end
_NULLABLE = frozenset({"v.valid_from", "v.valid_to", "v.expires_at", "v.run_id"})
_Fact = tuple[Sequence[str], Any]  # a path in metadata and the value there, which is no container
FIELDS = (*_TEXTS, *_TIMES, "run", "valid_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """SQL over `e` (entry) and `v` (its revision), and the values of its parameters by name.

    Where it asks about metadata alone, `of_chunk` is the same over `c`, a live chunk, and `facts`
    what an index knows of it: a condition over `c` and `place` that holds for all that pass and few
    others. Each is empty where there is no such thing.
    """

    sql: str
    of_chunk: str
    facts: str
    values: Mapping[str, Any]


def compile_filter(asked: Mapping[str, Any] | None) -> Condition | None:
    """None where nothing is asked. Raises `InvalidInput` with the path of what is wrong."""
    if not asked:
        return None
    if errors := wrong_json("/filter", asked):
        raise InvalidInput("The filter cannot be used: it holds what is no text.", errors=errors)
    compiler = _Compiler()
    sql = compiler.every("/filter", asked, 0)
    has_chunk = not compiler.knows_provenance
    return Condition(
        sql=sql.replace(_METADATA, "v.metadata"),
        of_chunk=sql.replace(_METADATA, "c.metadata") if has_chunk else "",
        facts=compiler.facts(asked) if has_chunk else "",
        values=compiler.values,
    )


@dataclass(slots=True)
class _Compiler:
    """Each condition is true or false and never null, so that `not` turns it around; where an index
    can answer, it stands bare.
    """

    values: dict[str, Any] = field(default_factory=dict)
    conditions: int = 0
    knows_provenance: bool = False

    def every(self, path: str, asked: Any, depth: int) -> str:
        """All conditions of an object."""
        if not isinstance(asked, Mapping):
            _refuse(path, "an object of conditions, such as {'topic': {'eq': 'refunds'}}")
        if depth > _DEPTH:
            _refuse(path, f"nested more than {_DEPTH} deep")
        parts = [self._one(f"{path}/{name}", name, value, depth) for name, value in asked.items()]
        return f"({' AND '.join(parts)})" if parts else "true"

    def _one(self, path: str, name: str, value: Any, depth: int) -> str:
        if name in {"and", "or"}:
            if not isinstance(value, list) or not value:
                _refuse(path, "a list of at least one object")
            parts = [
                self.every(f"{path}/{place}", inner, depth + 1) for place, inner in enumerate(value)
            ]
            return f"({f' {name.upper()} '.join(parts)})"
        if name == "not":
            return f"NOT {self.every(path, value, depth + 1)}"
        if not isinstance(value, Mapping) or not value:
            _refuse(path, f"an object with one of {', '.join(OPERATORS)}")
        parts = [self._compare(f"{path}/{op}", name, op, given) for op, given in value.items()]
        return f"({' AND '.join(parts)})"

    def _compare(self, path: str, name: str, operator: str, value: Any) -> str:
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            _refuse(path, f"{MAX_CONDITIONS} conditions at most")
        if operator not in OPERATORS:
            _refuse(path, f"not an operator: use one of {', '.join(OPERATORS)}")
        if operator == "range":
            return self._range(path, name, value)
        if operator == "exists" and not isinstance(value, bool):
            _refuse(path, "true or false")
        compare = self._comparison(name)
        return compare(path, name, operator, value)

    def _comparison(self, name: str) -> Callable[[str, str, str, Any], str]:
        if name not in FIELDS:
            return self._metadata
        self.knows_provenance = True
        if name in _TEXTS:
            return self._text
        return self._run if name == "run" else self._time

    def _range(self, path: str, name: str, value: Any) -> str:
        if not isinstance(value, Mapping) or not value or set(value) - set(_ORDER):
            _refuse(path, "an object with some of gt, gte, lt, lte")
        parts = [self._compare(f"{path}/{op}", name, op, bound) for op, bound in value.items()]
        return f"({' AND '.join(parts)})"

    def _text(self, path: str, name: str, operator: str, value: Any) -> str:
        return self._ordinary(path, _TEXTS[name], operator, value, self._string)

    def _time(self, path: str, name: str, operator: str, value: Any) -> str:
        if name == "valid_at":
            if operator != "eq":
                _refuse(path, "valid_at knows `eq` only: the time at which it shall hold")
            moment = self._moment(path, value)
            return (
                f"(coalesce(v.valid_from <= {moment}, true) "
                f"AND coalesce(v.valid_to > {moment}, true))"
            )
        if operator in {"text", "prefix"}:
            _refuse(path, f"{name} is a time: compare it with eq, gt, gte, lt or lte")
        return self._ordinary(path, _TIMES[name], operator, value, self._moment)

    def _run(self, path: str, name: str, operator: str, value: Any) -> str:
        if operator not in {"eq", "ne", "in", "exists"}:
            _refuse(path, "run knows eq, ne, in and exists")
        return self._ordinary(path, "v.run_id", operator, value, self._run_id)

    def _ordinary(
        self, path: str, column: str, operator: str, value: Any, bind: Callable[[str, Any], str]
    ) -> str:
        """A column of one type, whose values `bind` checks and makes parameters of."""
        if operator == "exists":
            return f"({column} IS NOT NULL) = {self._bind(value)}"
        if operator == "ne":
            return f"{column} IS DISTINCT FROM {bind(path, value)}"
        if operator == "in":
            found = f"{column} IN ({', '.join(bind(*item) for item in _items(path, value))})"
        elif operator == "prefix":
            found = f"starts_with({column}, {bind(path, value)})"
        elif operator == "text":
            found = f"{_WORDS.format(column)} @@ {_QUERY.format(bind(path, value))}"
        else:
            found = f"{column} {_ORDER.get(operator, '=')} {bind(path, value)}"
        return f"coalesce({found}, false)" if column in _NULLABLE else found

    def _metadata(self, path: str, name: str, operator: str, value: Any) -> str:
        """Typed as JSON is: 2 is not "2". Of a list, one element must fit."""
        parts = _path(name)
        if operator == "in":
            found = " OR ".join(self._equal(parts, item) for _, item in _items(path, value))
            return f"({found})"
        if operator in {"eq", "ne"}:
            equal = self._equal(parts, value)
            return equal if operator == "eq" else f"NOT {equal}"
        column = self._at(parts)
        if operator == "exists":
            return f"({column} IS NOT NULL) = {self._bind(value)}"
        if operator in _ORDER:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                _refuse(path, "a number or a text")
            bound = self._json(value)
            same = f"jsonb_typeof({column}) = jsonb_typeof({bound})"
            return f"coalesce({same} AND {column} {_ORDER[operator]} {bound}, false)"
        text, bound = f"({column} #>> '{{}}')", self._string(path, value)
        if operator == "prefix":
            begins = f"jsonb_typeof({column}) = 'string' AND starts_with({text}, {bound})"
            return f"coalesce({begins}, false)"
        return f"coalesce({_WORDS.format(text)} @@ {_QUERY.format(bound)}, false)"

    def _equal(self, parts: Sequence[str], value: Any) -> str:
        """Containment, which the index over metadata knows, wherever it can tell."""
        is_whole = isinstance(value, Mapping | list)
        if _has_place(parts):
            column, bound = self._at(parts), self._json(value)
            listed = f"jsonb_typeof({column}) = 'array' AND {column} @> {bound}"
            found = f"{column} = {bound}" if is_whole else f"{column} = {bound} OR ({listed})"
            return f"coalesce({found}, false)"
        held = f"{_METADATA} @> {self._json(_under(parts, value))}"
        if is_whole:
            return f"({held} AND {self._at(parts)} = {self._json(value)})"
        return f"({held} OR {_METADATA} @> {self._json(_under(parts, [value]))})"

    def facts(self, asked: Mapping[str, Any]) -> str:
        """What an index knows of conditions that were compiled; all are about metadata."""
        return " AND ".join(map(self._any_fact, _clauses(asked)))

    def _any_fact(self, facts: Sequence[_Fact]) -> str:
        rows = (f"({self._bind(path)}::text[], {self._json(value)})" for path, value in facts)
        return _KNOWN.format(", ".join(rows))

    def _at(self, parts: Sequence[str]) -> str:
        return f"({_METADATA} #> {self._bind(parts)}::text[])"

    def _string(self, path: str, value: Any) -> str:
        if not isinstance(value, str):
            _refuse(path, "a text")
        return f"{self._bind(value)}::text"

    def _run_id(self, path: str, value: Any) -> str:
        if not isinstance(value, str):
            _refuse(path, "the id of a run")
        try:
            return f"{self._bind(ids.decode(ids.Kind.RUN, value))}::uuid"
        except NotFound as error:
            _refuse(path, str(error))

    def _moment(self, path: str, value: Any) -> str:
        return f"{self._bind(read_time(path, value))}::timestamptz"

    def _json(self, value: Any) -> str:
        try:
            text = orjson.dumps(value).decode()
        except TypeError:  # an integer past 64 bits
            text = json.dumps(value)
        return f"{self._bind(text)}::jsonb"

    def _bind(self, value: Any) -> str:
        name = f"filter_{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"


_PLACE = re.compile(r"\s*[+-]?\d+")  # a part of a path that may be a place in a list
_KNOWN = """metadata_facts(c.space_id, c.metadata) && ARRAY(
    SELECT metadata_fact(p.id, fact.path, fact.value)
    FROM place AS p CROSS JOIN (VALUES {}) AS fact (path, value))"""
_WORDS = "to_tsvector('english', {})"
_QUERY = "plainto_tsquery('english', {})"


def _path(name: str) -> list[str]:
    return name.removeprefix("metadata.").split(".")


def _has_place(parts: Sequence[str]) -> bool:
    return any(map(_PLACE.fullmatch, parts))


def _clauses(asked: Mapping[str, Any]) -> Iterator[list[_Fact]]:
    """Of the facts of each, what passes has at least one."""
    for name, value in asked.items():
        if name == "and":
            yield from chain.from_iterable(map(_clauses, value))
        elif name == "or":
            firsts = [next(_clauses(inner), []) for inner in value]
            if all(firsts):
                yield [*chain.from_iterable(firsts)]
        elif name != "not" and not _has_place(parts := _path(name)):
            yield from _compared(parts, value)


def _compared(parts: Sequence[str], asked: Mapping[str, Any]) -> Iterator[list[_Fact]]:
    equal = [[asked["eq"]]] if "eq" in asked else []
    for wanted in (*equal, asked.get("in", [])):
        if wanted and not any(isinstance(value, Mapping | list) for value in wanted):
            yield [(parts, value) for value in wanted]


def _under(parts: Sequence[str], value: Any) -> Any:
    """The metadata that hold nothing but `value` at the path."""
    for part in reversed(parts):
        value = {part: value}
    return value


def read_time(path: str, value: Any) -> datetime:
    """RFC 3339; without an offset it is UTC. Raises `InvalidInput` for what is no time."""
    found = None
    with suppress(ValueError, OverflowError):
        found = parse_datetime(value) if isinstance(value, str) else None
        found = found and (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    if found is None:
        _refuse(path, "a time such as 2026-01-31T12:00:00Z")
    return found


def _items(path: str, value: Any) -> Sequence[tuple[str, Any]]:
    if not isinstance(value, list) or not 1 <= len(value) <= _VALUES:
        _refuse(path, f"a list of 1 to {_VALUES} values")
    return [(f"{path}/{place}", item) for place, item in enumerate(value)]


def _refuse(path: str, detail: str) -> NoReturn:
    raise InvalidInput(
        f"The filter cannot be used. {path}: {detail}.", errors=[{"path": path, "detail": detail}]
    )
