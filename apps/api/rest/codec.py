"""JSON in and out (RFC 8259): what gets through is text that PostgreSQL can store and orjson can
repeat.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from octavo.kernel.errors import InvalidInput, TooLarge

MAX_DEPTH = 64
MAX_VALUES = 200_000
_TOO_MANY = f"Holds more than {MAX_VALUES:,} values. Send it in pieces, or as one string."
_TOKEN = re.compile(rb'[,\[{]|"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive: linear time


class OneMediaType(DefaultContentNegotiation):
    """Answers are JSON whatever `Accept` says: there is nothing else to choose from."""

    def select_renderer(
        self, request: Any, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else orjson.dumps(data)


class JSONParser(BaseParser):
    """Accepts one JSON object in UTF-8. Raises `ParseError` (400) naming the position of a
    mistake.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        return load_object(read_body(stream))


def read_body(stream: IO[bytes]) -> bytes:
    """Raises `TooLarge`."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise TooLarge(
            f"The request body is larger than {limit:,} bytes. Send less, or raise "
            f"OCTAVO_MAX_BODY_BYTES."
        )
    return body


def load_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises `ParseError` or `InvalidInput`."""
    _refuse_too_many(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ParseError(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    if not isinstance(value, dict):
        raise InvalidInput(
            f"The body must be a JSON object like {{…}}; it is {_name(value)}.",
            errors=[{"path": "", "detail": "Expected an object."}],
        )
    _refuse_unstorable(value)
    return value


def load_member(name: str, text: str) -> Any:
    """The JSON value that a form has in its field `name`. Raises `InvalidInput`."""
    body = text.encode(errors="replace")
    _refuse_too_many(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid([name], f"Not valid JSON: {error.msg} at column {error.colno}.") from None
    _refuse_unstorable({name: value})
    return value


def _name(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def fits(number: float) -> bool:
    """Whether JSON that PostgreSQL kept can be answered again: it gives 1e30 back as an integer."""
    return -(2**63) <= number < 2**64


def _refuse_too_many(body: bytes) -> None:
    """Before parsing, so that no body can take far more memory than its own size.

    `MAX_VALUES` values have at most as many commas and brackets, and two strings each.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") <= MAX_VALUES:
        return
    tokens = _TOKEN.finditer(body)
    if next(islice(tokens, 4 * MAX_VALUES, None), None) is not None:
        raise _invalid([], _TOO_MANY)


def _refuse_unstorable(value: dict[str, Any]) -> None:
    """NUL characters and huge numbers cannot be stored as they are, and deep nesting could not be
    answered again.
    """
    around: list[str | int] = []
    open_members = [_members(value)]
    seen = 0
    while open_members:
        for name, node in open_members[-1]:
            seen += 1
            wrong = _TOO_MANY if seen > MAX_VALUES else _fault(name, node, len(open_members))
            if wrong:
                raise _invalid([*around, name], wrong)
            if isinstance(node, dict | list):
                around.append(name)
                open_members.append(_members(node))
                break
        else:
            open_members.pop()
            del around[-1:]


def _members(node: Any) -> Iterator[tuple[str | int, Any]]:
    return iter(node.items()) if isinstance(node, dict) else enumerate(node)


def _fault(name: str | int, node: Any, depth: int) -> str:
    """What keeps this value from being stored; "" for nothing."""
    if depth > MAX_DEPTH:
        return f"Nested more than {MAX_DEPTH} levels deep."
    if isinstance(name, str) and "\0" in name:
        return "The name contains U+0000, which cannot be stored."
    if isinstance(node, str) and "\0" in node:
        return "Contains the character U+0000, which cannot be stored."
    if isinstance(node, int | float) and not fits(node):
        return "A number must be at least -2^63 and less than 2^64. Send a larger one as a string."
    return ""


def _invalid(names: Sequence[str | int], detail: str) -> InvalidInput:
    path = "".join(f"/{escape(str(name))}" for name in names)
    return InvalidInput(
        "The body holds a value that Octavo cannot keep.",
        errors=[{"path": path, "detail": detail}],
    )


def escape(name: str) -> str:
    """A reference token of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
