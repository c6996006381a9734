"""JSON in and out (RFC 8259): what gets through is text that PostgreSQL can store and orjson can
repeat.
"""

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from octavo.kernel.errors import InvalidInput, TooLarge

MAX_DEPTH = 64


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
        return load_object(_read(stream))


def _read(stream: IO[bytes]) -> bytes:
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
    if b"\\u0000" in body or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _refuse_unstorable(value)
    return value


def _name(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _refuse_unstorable(value: Any) -> None:
    """NUL characters cannot be stored as text, and deep nesting could not be answered again."""
    pending: list[tuple[Any, str, int]] = [(value, "", 0)]
    while pending:
        node, path, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise _invalid(path, f"Nested more than {MAX_DEPTH} levels deep.")
        if isinstance(node, str) and "\0" in node:
            raise _invalid(path, "Contains the character U+0000, which cannot be stored.")
        if isinstance(node, dict):
            if any("\0" in key for key in node):
                raise _invalid(path, "A name contains U+0000, which cannot be stored.")
            pending += [(child, f"{path}/{escape(key)}", depth + 1) for key, child in node.items()]
        elif isinstance(node, list):
            pending += [(child, f"{path}/{i}", depth + 1) for i, child in enumerate(node)]


def _invalid(path: str, detail: str) -> InvalidInput:
    return InvalidInput(
        "The body holds a value that Octavo cannot keep.",
        errors=[{"path": path, "detail": detail}],
    )


def escape(name: str) -> str:
    """A reference token of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
