"""Content is named by what it is, and whatever a model writes can be stored."""

import orjson
import pytest

from apps.orchestration import drafts, journal
from apps.orchestration.records import Blobs, dump
from apps.orchestration.types.runs import EventType


def test_equal_content_has_one_name_whatever_the_order_of_its_keys() -> None:
    blobs = Blobs()
    assert blobs.put({"a": 1, "b": "x"}) == blobs.put({"b": "x", "a": 1})
    assert blobs.put({"a": 2}) != blobs.put({"a": 1})
    assert len(blobs) == 3


@pytest.mark.parametrize("text", ["plain", "a\x00b", "lone \ud800 surrogate", "ключ 🙂"])
def test_any_text_becomes_json_that_postgresql_takes(text: str) -> None:
    stored = journal.as_json({"text": text, "inside": [text, {text: text}]})
    assert stored is not None
    assert "\\u0000" not in stored
    assert orjson.loads(stored)["text"].startswith(text[0])
    stored.encode()
    assert orjson.loads(dump({"text": text}))


def test_a_prompt_is_kept_as_what_changed() -> None:
    assert drafts._shared_start(["a", "b", "c"], ["a", "b", "d", "e"]) == 2
    assert drafts._shared_start([], ["a"]) == 0


def test_only_named_fields_are_ever_read_as_blobs() -> None:
    hostile = {"tool": "x", "arguments": {"message": "00" * 32}, "message": "aa"}
    assert drafts.blob_names(EventType.TOOL_ANSWERED, hostile) == ["aa"]
    filled = drafts.fill(EventType.TOOL_ANSWERED, hostile, {"aa": {"content": "hi"}})
    assert filled["arguments"] == {"message": "00" * 32}
    assert drafts.fill(EventType.TOOL_INTENDED, hostile, {}) == hostile
