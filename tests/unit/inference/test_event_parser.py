"""However a stream of events is cut into chunks, the same payloads come out."""

import pytest

from apps.inference.adapters import sse
from apps.inference.adapters.sse import EventParser, EventTooLargeError

STREAM = (
    ": a comment\n\n"
    'data: {"a": "ü"}\n\n'
    "event: ping\nid: 7\ndata: one\ndata: two\n\n"
    "data:no space\r\n\r\n"
    "retry: 10\n\n"
    "data: mac\r\r"
    "data: [DONE]\n\n"
).encode()
PAYLOADS = ['{"a": "ü"}', "one\ntwo", "no space", "mac", "[DONE]"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 10_000])
def test_payloads_do_not_depend_on_how_the_bytes_are_split(size: int) -> None:
    parser = EventParser()
    found: list[bytes] = []
    for start in range(0, len(STREAM), size):
        found += parser.feed(STREAM[start : start + size])
    found += parser.close()
    assert [payload.decode() for payload in found] == PAYLOADS


def test_a_stream_that_ends_without_a_blank_line_keeps_its_last_event() -> None:
    parser = EventParser()
    assert parser.feed(b"data: last") == []
    assert parser.close() == [b"last"]


def test_an_event_without_an_end_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse, "_MAX_EVENT", 100)
    parser = EventParser()
    assert parser.feed(b"data: " + b"x" * 90) == []
    with pytest.raises(EventTooLargeError):
        parser.feed(b"x" * 90)
