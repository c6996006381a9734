"""What the JSON codec lets through can be stored and answered again."""

import io
import tracemalloc

import orjson
import pytest
from django.conf import settings
from rest_framework.exceptions import ParseError

from apps.api.rest.codec import MAX_DEPTH, MAX_VALUES, JSONParser, JSONRenderer, load_object
from apps.api.rest.fields import plain
from octavo.kernel.errors import InvalidInput, TooLarge


def test_a_mistake_is_named_by_its_position() -> None:
    with pytest.raises(ParseError, match=r"line 2, column \d+"):
        load_object(b'{"agent": "guide",\n "input": }')


@pytest.mark.parametrize(
    ("body", "name"),
    [(b"[1]", "an array"), (b'"x"', "a string"), (b"null", "null"), (b"3", "a number")],
)
def test_only_an_object_is_a_body(body: bytes, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        load_object(body)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"a": NaN}', b'{"a": "\\ud800"}', b"[" * 5000]
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(ParseError):
        load_object(body)


def test_nul_characters_are_refused_where_they_stand() -> None:
    with pytest.raises(InvalidInput) as refusal:
        load_object(b'{"metadata": {"a/b": ["ok", "x\\u0000y"]}}')
    assert refusal.value.errors[0]["path"] == "/metadata/a~1b/1"
    with pytest.raises(InvalidInput):
        load_object(b'{"x\\u0000": 1}')
    assert load_object(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


def test_nesting_is_bounded() -> None:
    deep = b'{"a": ' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}"
    with pytest.raises(InvalidInput, match="cannot keep"):
        load_object(deep)
    wide = b'{"a": [' + b",".join([b"{}"] * 500) + b"]}"
    assert len(load_object(wide)["a"]) == 500


@pytest.mark.parametrize("number", [b"1e30", b"-1e19", b"18446744073709551616", b"1e308"])
def test_a_number_that_could_not_be_answered_again_is_refused(number: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        load_object(b'{"input": {"n": [0, %s]}}' % number)
    assert refusal.value.errors[0]["path"] == "/input/n/1"


def test_numbers_of_64_bits_are_kept() -> None:
    body = b'{"a":[18446744073709551615,-9223372036854775808,1.5e-300,1e18,true]}'
    assert load_object(body) == {"a": [2**64 - 1, -(2**63), 1.5e-300, 1e18, True]}


def test_an_integer_of_any_size_can_be_answered() -> None:
    shown = plain({"a": [10**30, -(10**30), 10**400, 7, True]})
    assert shown == {"a": [1e30, -1e30, "1" + "0" * 400, 7, True]}
    assert JSONRenderer().render(shown)


def test_the_number_of_values_is_bounded_before_they_are_made() -> None:
    with pytest.raises(InvalidInput, match="cannot keep"):
        load_object(b'{"a": [' + b"0," * MAX_VALUES + b"0]}")
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="cannot keep"):
        load_object(b'{"a": [' + b"[]," * 1_000_000 + b"[]]}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20
    assert len(load_object(b'{"a": [' + b'"",' * 150_000 + b'""]}')["a"]) == 150_001


def test_punctuation_within_strings_is_no_value() -> None:
    text = '[{,"\\' * 200_000
    assert load_object(orjson.dumps({"content": text})) == {"content": text}
    with pytest.raises(ParseError):
        load_object(b'{"' + b'\\",' * 1_000_000)


def test_a_body_over_the_limit_is_too_large() -> None:
    big = b'{"a": "' + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    with pytest.raises(TooLarge, match="OCTAVO_MAX_BODY_BYTES"):
        JSONParser().parse(io.BytesIO(big))


def test_an_empty_answer_has_no_body() -> None:
    assert JSONRenderer().render(None) == b""
    assert JSONRenderer().render({"a": 1}) == b'{"a":1}'
