"""Cursor pages, newest first: `{"items": […], "next_cursor": …}`. A cursor is opaque; inside is
where to go on.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from apps.api.rest.fields import StrictSerializer
from octavo.kernel.errors import InvalidInput

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


class PageQuery(StrictSerializer):
    """`limit` and `cursor`; a list with filters of its own extends it."""

    limit = serializers.IntegerField(
        default=DEFAULT_LIMIT,
        min_value=1,
        max_value=MAX_LIMIT,
        help_text="How many items at most.",
    )
    cursor = serializers.CharField(
        required=False,
        help_text="`next_cursor` of the page before; without it, the first page.",
    )


def encode_cursor(value: UUID | int) -> str:
    number = value if isinstance(value, UUID) else UUID(int=value)
    return base64.urlsafe_b64encode(number.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> UUID | None:
    """None for the first page. Raises `InvalidInput` for what `encode_cursor` never made."""
    if not cursor:
        return None
    try:
        return UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise InvalidInput(
            "The cursor is not one that Octavo gave out. Start again without it.",
            errors=[{"path": "/cursor", "detail": "Unknown cursor."}],
        ) from None


def cursor_number(cursor: UUID | None) -> int | None:
    """The cursor of a list that is ordered by a number (a version) instead of an id."""
    return None if cursor is None else min(cursor.int, 2**31 - 1)


def _id_of(item: Any) -> UUID:
    found: UUID = item.id
    return found


def page[T](
    read: Callable[[int, UUID | None], Sequence[T]],
    *,
    query: dict[str, Any],
    serializer: type[BaseSerializer[Any]],
    cursor_of: Callable[[T], UUID | int] = _id_of,
) -> Response:
    """One page. `read(limit, before)` returns at most `limit` items, newest first, after
    `before`.
    """
    limit = query["limit"]
    found = list(read(limit + 1, decode_cursor(query.get("cursor", ""))))
    items = found[:limit]
    following = encode_cursor(cursor_of(items[-1])) if len(found) > limit else None
    return Response({"items": serializer(items, many=True).data, "next_cursor": following})


def pick[T](items: Sequence[T], limit: int, before: UUID | None) -> Sequence[T]:
    """A page of a list that is short by nature and arrives whole (routes, providers)."""
    ordered = sorted(items, key=_id_of, reverse=True)
    return [item for item in ordered if before is None or _id_of(item) < before][:limit]
