"""What the built-in server lets through to llama.cpp, what it refuses, and how it answers."""

import base64
import struct
from typing import Any

import numpy as np
import orjson
import pytest

from apps.inference.builtin.chat_requests import (
    DEFAULT_MAX_TOKENS,
    error_answer,
    forwarded_request,
    with_role,
)
from apps.inference.builtin.embedding_requests import MAX_INPUTS, answer, parse_request
from apps.inference.builtin.problems import InvalidRequest, ModelNotFound

MESSAGES = [{"role": "user", "content": "Hello"}]


def test_a_chat_request_keeps_the_protocols_fields_and_drops_llama_cpps_own() -> None:
    body = {"messages": MESSAGES, "seed": 7, "stop": None, "id_slot": 1, "lora": [{"id": 0}]}
    assert forwarded_request(body, model="m") == {
        "messages": MESSAGES,
        "seed": 7,
        "max_tokens": DEFAULT_MAX_TOKENS,
        "model": "m",
    }


def test_the_newer_name_of_the_completion_limit_is_honoured() -> None:
    body = {"messages": MESSAGES, "max_completion_tokens": 5}
    assert forwarded_request(body, model="m")["max_tokens"] == 5


@pytest.mark.parametrize(
    "messages",
    [None, [], "hello", ["hello"], [{"role": "user", "content": [{"type": "image_url"}]}]],
)
def test_messages_that_are_no_text_messages_are_refused(messages: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        forwarded_request({"messages": messages}, model="m")
    assert refused.value.param == "messages"


def test_a_model_that_is_not_here_is_named_together_with_the_one_that_is() -> None:
    with pytest.raises(ModelNotFound, match=r"'gpt-9' .* offers 'm'"):
        forwarded_request({"messages": MESSAGES, "model": "gpt-9"}, model="m")


def test_an_over_long_prompt_becomes_openais_context_length_error() -> None:
    error = {"message": "request (9 tokens) exceeds 8", "type": "exceed_context_size_error"}
    status, body = error_answer(status=400, answer={"error": error})
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
    assert "9 tokens" in body["error"]["message"]


@pytest.mark.parametrize("upstream", [None, [], {"error": "text"}, {"error": {}}])
def test_an_upstream_failure_without_a_reason_is_still_an_error_object(upstream: object) -> None:
    status, body = error_answer(status=500, answer=upstream)
    assert (status, body["error"]["type"]) == (500, "server_error")
    assert body["error"]["message"]


def test_an_embedding_request_takes_one_text_or_many() -> None:
    assert parse_request({"input": "one"}).texts == ("one",)
    assert parse_request({"input": ["one", "two"]}).texts == ("one", "two")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": [[1, 2, 3]]}, "input"),
        ({"input": ["x"] * (MAX_INPUTS + 1)}, "input"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "x", "encoding_format": ["float"]}, "encoding_format"),
        ({"input": "x", "dimensions": 64}, "dimensions"),
        ({"input": "x", "dimensions": []}, "dimensions"),
        ({"input": "x", "dimensions": {}}, "dimensions"),
        ([], None),
    ],
)
def test_a_wrong_embedding_request_is_refused_by_field(body: object, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(body)
    assert refused.value.param == param


def test_base64_vectors_are_little_endian_floats() -> None:
    vectors = np.array([[0.5, -1.0]], np.float32)
    request = parse_request({"input": "x", "encoding_format": "base64"})
    body = answer(request, vectors=vectors, tokens=3)
    raw = base64.b64decode(body["data"][0]["embedding"])
    assert struct.unpack("<2f", raw) == (0.5, -1.0)
    assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"content": "\N{GRINNING FACE}"}, {"content": "\N{GRINNING FACE}", "role": "assistant"}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": None}),
    ],
)
def test_a_stream_begins_by_naming_the_assistant(
    delta: dict[str, Any], expected: dict[str, Any]
) -> None:
    event = b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": delta}]}) + b"\n\n"
    told = with_role(event)
    assert told.endswith(b"\n\n")
    assert orjson.loads(told.removeprefix(b"data: "))["choices"][0]["delta"] == expected


@pytest.mark.parametrize("event", [b"", b": ping\n\n", b'data: {"error": {}}\n\n', b"data: []\n\n"])
def test_an_event_that_is_no_chunk_is_passed_on_unchanged(event: bytes) -> None:
    assert with_role(event) == event
