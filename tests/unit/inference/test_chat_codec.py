"""Our request as the protocol's JSON, and its answers as our result."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest

from apps.inference.adapters.chat_codec import (
    MalformedError,
    StreamDecoder,
    StreamMeter,
    answer_usage,
    check_answer,
    decode,
    encode,
    output_limit,
)
from apps.inference.types import ChatRequest, Message, TokenUsage, ToolCall, ToolOffer
from apps.model_registry.types import (
    ModelKind,
    ModelView,
    Price,
    ProviderKind,
    Target,
    Tier,
)

TARGET = Target(
    provider_id=UUID(int=1),
    provider_kind=ProviderKind.VLLM,
    base_url="http://127.0.0.1:1/v1",
    model=ModelView(
        id=UUID(int=2),
        name="m",
        provider="p",
        kind=ModelKind.CHAT,
        tier=Tier.STANDARD,
        context_window=8192,
        native_tools=True,
        dimensions=None,
        price=Price(),
    ),
)
NOTHING = TokenUsage()
CALL = ToolCall(id="c1", name="add", arguments='{"a": 1}')


def encoded(request: ChatRequest, target: Target = TARGET) -> Any:
    return orjson.loads(orjson.dumps(encode(request, target=target)))


def test_every_field_of_a_request_is_sent_under_its_protocol_name() -> None:
    request = ChatRequest(
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="1 + 2?"),
            Message(role="assistant", tool_calls=(CALL,)),
            Message(role="tool", content="3", tool_call_id="c1"),
        ),
        tools=(ToolOffer(name="add", description="Adds.", input_schema={"type": "object"}),),
        json_schema={"type": "object"},
        max_tokens=9,
        temperature=0.0,
        seed=7,
        stop=("END",),
    )
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    function = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}
    assert encoded(request) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "1 + 2?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "3", "tool_call_id": "c1"},
        ],
        "max_tokens": 9,
        "temperature": 0.0,
        "seed": 7,
        "stop": ["END"],
        "tools": [{"type": "function", "function": function}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}},
        },
    }


def test_what_is_not_set_is_not_sent() -> None:
    request = ChatRequest(messages=(Message(role="user", content="Hi"),), max_tokens=5)
    assert set(encoded(request)) == {"messages", "max_tokens"}


def test_openai_gets_the_name_for_the_token_limit_that_its_reasoning_models_accept() -> None:
    request = ChatRequest(messages=(Message(role="user", content="Hi"),), max_tokens=5)
    openai = replace(TARGET, provider_kind=ProviderKind.OPENAI)
    assert encoded(request, openai)["max_completion_tokens"] == 5


def answer(message: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"}]} | extra


def test_usage_is_taken_from_the_provider() -> None:
    body = answer({"content": "Hi"}, usage={"prompt_tokens": 3, "completion_tokens": 1})
    usage = answer_usage(body, sent=900, most=None)
    assert usage == TokenUsage(input_tokens=3, output_tokens=1)


def test_a_provider_that_counts_nothing_is_charged_by_estimate() -> None:
    body = answer({"content": "abcdef"})
    usage = answer_usage(body, sent=900, most=None)
    assert usage == TokenUsage(input_tokens=300, output_tokens=2)
    assert answer_usage(body, sent=900, most=1).output_tokens == 1


def test_an_answer_with_calls_ends_with_calls_whatever_the_server_says() -> None:
    calls = [{"function": {"name": "now"}}]
    result = decode(answer({"content": None, "tool_calls": calls}), target=TARGET, usage=NOTHING)
    assert result.finish_reason == "tool_calls"
    assert result.text == ""
    assert result.tool_calls == (ToolCall(id="call_0", name="now", arguments="{}"),)


def test_an_unknown_finish_reason_counts_as_stop() -> None:
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": "eos"}]}
    assert decode(body, target=TARGET, usage=NOTHING).finish_reason == "stop"


def test_parallel_calls_without_an_index_are_kept_apart() -> None:
    decoder = StreamDecoder(target=TARGET)
    parts = [{"id": f"c{n}", "function": {"name": f"t{n}", "arguments": "{}"}} for n in (0, 1)]
    decoder.feed({"choices": [{"delta": {"tool_calls": parts}, "finish_reason": "tool_calls"}]})
    assert [call.name for call in decoder.result(usage=NOTHING).tool_calls] == ["t0", "t1"]


@pytest.mark.parametrize("body", [{}, {"choices": None}, {"choices": [{"message": None}]}])
def test_another_shape_is_called_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        decode(body, target=TARGET, usage=NOTHING)
    with pytest.raises(MalformedError):
        check_answer(body)


def test_a_stream_is_counted_whoever_reads_it() -> None:
    meter = StreamMeter(sent=30, most=5)
    for delta in ({"role": "assistant"}, {"content": "abc"}, {"reasoning": "abc"}):
        meter.feed({"choices": [{"delta": delta}]})
    assert meter.usage == TokenUsage(input_tokens=10, output_tokens=2)
    call = {"index": 0, "function": {"arguments": "{}" * 50}}
    meter.feed({"choices": [{"delta": {"tool_calls": [call]}}]})
    assert meter.usage.output_tokens == 5
    assert not meter.is_complete
    meter.feed({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    meter.feed({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}})
    assert meter.is_complete
    assert meter.usage == TokenUsage(input_tokens=7, output_tokens=9)


@pytest.mark.parametrize("chunk", [{"choices": 5}, {"choices": [5]}, {"choices": [{"delta": 5}]}])
def test_a_chunk_of_another_shape_is_called_malformed(chunk: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        StreamMeter(sent=1, most=None).feed(chunk)


def test_the_limit_of_an_answer_counts_for_each_choice() -> None:
    assert output_limit({}) is None
    assert output_limit({"max_tokens": 5, "n": 3}) == 15
    assert output_limit({"max_tokens": 5, "max_completion_tokens": 7}) == 7
