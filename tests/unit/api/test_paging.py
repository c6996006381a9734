"""Cursors are opaque, and only those that were given out are taken back."""

from dataclasses import dataclass
from uuid import UUID

import pytest
from rest_framework import serializers

from apps.api.rest.paging import cursor_number, decode_cursor, encode_cursor, page, pick
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput


@dataclass(frozen=True)
class Thing:
    id: UUID


class ThingSerializer(serializers.Serializer[Thing]):
    id = serializers.UUIDField()


def test_a_cursor_comes_back_as_it_went() -> None:
    value = ids.new()
    assert decode_cursor(encode_cursor(value)) == value
    assert cursor_number(decode_cursor(encode_cursor(7))) == 7
    assert decode_cursor("") is None
    assert cursor_number(None) is None


@pytest.mark.parametrize("cursor", ["x", "ünïcode", "a" * 22 + "!", "AAAA", "%00", "=" * 22])
def test_an_invented_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        decode_cursor(cursor)


def test_pages_join_without_gap_or_repetition() -> None:
    things = [Thing(ids.new()) for _ in range(7)]
    seen: list[str] = []
    cursor = ""
    while True:
        response = page(
            lambda limit, before: pick(things, limit, before),
            query={"limit": 3, "cursor": cursor},
            serializer=ThingSerializer,
        )
        seen += [item["id"] for item in response.data["items"]]
        cursor = response.data["next_cursor"]
        if cursor is None:
            break
    assert seen == [str(thing.id) for thing in reversed(things)]
