"""Tools for models without tool calling: the offer, the schema of the answer, its reading."""

from dataclasses import replace
from typing import Any

import jsonschema_rs
import orjson

from apps.inference.services.tool_calling import constrain, interpret
from apps.inference.types import ChatRequest, ChatResult, Message, TokenUsage, ToolCall, ToolOffer

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TREE = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
    "required": ["root"],
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"next": {"$ref": "#/$defs/node"}, "value": {"type": "integer"}},
            "required": ["value"],
        }
    },
}
REQUEST = ChatRequest(
    messages=(Message(role="system", content="You help."), Message(role="user", content="Oslo?")),
    tools=(
        ToolOffer(name="weather", description="The\n  weather.", input_schema=CITY),
        ToolOffer(name="store", description="Keeps a tree.", input_schema=TREE),
        ToolOffer(name="now", description="The time.", input_schema={}),
    ),
)


def schema_of(request: ChatRequest) -> jsonschema_rs.Validator:
    schema = constrain(request).json_schema
    assert schema is not None
    return jsonschema_rs.validator_for(dict(schema))


def said(text: str) -> ChatResult:
    return ChatResult(
        text=text,
        tool_calls=(),
        finish_reason="stop",
        usage=TokenUsage(),
        model="m",
        provider="p",
    )


def test_the_schema_admits_each_tools_arguments_or_an_answer_and_nothing_else() -> None:
    schema = schema_of(REQUEST)
    good: list[Any] = [
        {"tool": "weather", "arguments": {"city": "Oslo"}},
        {"tool": "store", "arguments": {"root": {"value": 1, "next": {"value": 2}}}},
        {"tool": "now", "arguments": {}},
        {"answer": "Cold."},
    ]
    bad: list[Any] = [
        {"tool": "weather", "arguments": {}},
        {"tool": "store", "arguments": {"root": {"next": {"value": 2}}}},
        {"tool": "store", "arguments": {"root": {"value": 1, "next": {"value": "two"}}}},
        {"tool": "unknown", "arguments": {}},
        {"tool": "weather", "arguments": {"city": "Oslo"}, "answer": "Cold."},
        {"answer": 5},
        "Cold.",
    ]
    assert [case for case in good if not schema.is_valid(case)] == []
    assert [case for case in bad if schema.is_valid(case)] == []


def test_an_answer_keeps_the_shape_that_was_asked_for() -> None:
    request = replace(REQUEST, json_schema=TREE)
    schema = schema_of(request)
    assert schema.is_valid({"answer": {"root": {"value": 1}}})
    assert not schema.is_valid({"answer": "Cold."})
    result = interpret(said('{"answer": {"root": {"value": 1}}}'), request)
    assert orjson.loads(result.text) == {"root": {"value": 1}}


def test_the_offer_stands_in_the_first_system_message() -> None:
    first, second = constrain(REQUEST).messages
    assert first.role == "system"
    assert first.content.startswith(
        "You help.\n\nYou can use these tools:\n- weather: The weather."
    )
    assert second == REQUEST.messages[1]
    bare = replace(REQUEST, messages=REQUEST.messages[1:])
    assert [message.role for message in constrain(bare).messages] == ["system", "user"]


def test_earlier_calls_and_results_become_words() -> None:
    call = ToolCall(id="c1", name="weather", arguments='{"city": "Oslo"}')
    request = replace(
        REQUEST,
        messages=(
            *REQUEST.messages,
            Message(role="assistant", content="", tool_calls=(call,)),
            Message(role="tool", content="-3", tool_call_id="c1"),
        ),
    )
    asked, told = constrain(request).messages[-2:]
    assert asked == Message(
        role="assistant", content='{"tool":"weather","arguments":{"city":"Oslo"}}'
    )
    assert told == Message(role="user", content="Result of weather:\n-3")


def test_a_call_is_read_as_a_tool_call() -> None:
    result = interpret(said('{"tool": "weather", "arguments": {"city": "Oslo"}}'), REQUEST)
    (call,) = result.tool_calls
    assert (call.name, call.arguments) == ("weather", '{"city":"Oslo"}')
    assert (result.text, result.finish_reason) == ("", "tool_calls")


def test_an_answer_is_read_as_text() -> None:
    assert interpret(said('{"answer": "Cold."}'), REQUEST).text == "Cold."


def test_what_is_not_of_the_agreed_form_stays_text() -> None:
    for text in (
        "Cold.",
        '{"tool": "unknown"}',
        "[1]",
        '{"tool": "weather", "argu',
        "{}",
        '{"tool": []}',
    ):
        result = interpret(said(text), REQUEST)
        assert (result.text, result.tool_calls) == (text, ())


def test_a_request_without_tools_is_left_as_it_is() -> None:
    request = replace(REQUEST, tools=())
    assert constrain(request) == request
    assert interpret(said('{"answer": "Cold."}'), request).text == '{"answer": "Cold."}'
