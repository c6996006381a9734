"""Tools for models without tool calling: the offer, the schema of the answer, its reading."""

from typing import Any

import jsonschema_rs
import orjson
import pytest

from apps.inference.services.tool_calling import chunks, constrain, interpret

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


def tool(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


BODY: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": "Oslo?"},
    ],
    "tools": [
        tool("weather", "The\n  weather.", CITY),
        tool("store", "Keeps a tree.", TREE),
        tool("now", "The time.", {}),
    ],
    "temperature": 0,
    "logprobs": True,
}
OSLO = {"tool": "weather", "arguments": {"city": "Oslo"}}
NAMED = {"type": "function", "function": {"name": "weather"}}
ALLOWED = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "required", "tools": [NAMED]},
}


def schema_of(body: dict[str, Any]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(constrain(body)["response_format"]["json_schema"]["schema"])


def said(text: str | None) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    return {"id": "chatcmpl-1", "model": "m", "choices": [choice | {"finish_reason": "stop"}]}


def read(text: str, body: dict[str, Any] = BODY) -> dict[str, Any]:
    choice: dict[str, Any] = interpret(said(text), body)["choices"][0]
    return choice


def test_the_schema_admits_each_tools_arguments_or_an_answer_and_nothing_else() -> None:
    schema = schema_of(BODY)
    good: list[Any] = [
        OSLO,
        {"tool": "store", "arguments": {"root": {"value": 1, "next": {"value": 2}}}},
        {"tool": "now", "arguments": {}},
        {"answer": "Cold."},
    ]
    bad: list[Any] = [
        {"tool": "weather", "arguments": {}},
        {"tool": "store", "arguments": {"root": {"next": {"value": 2}}}},
        {"tool": "store", "arguments": {"root": {"value": 1, "next": {"value": "two"}}}},
        {"tool": "unknown", "arguments": {}},
        OSLO | {"answer": "Cold."},
        {"answer": 5},
        "Cold.",
    ]
    assert [case for case in good if not schema.is_valid(case)] == []
    assert [case for case in bad if schema.is_valid(case)] == []


@pytest.mark.parametrize(
    ("choice", "allowed"),
    [
        ("auto", ["weather", "now", "answer"]),
        ("required", ["weather", "now"]),
        (NAMED, ["weather"]),
        (ALLOWED, ["weather"]),
    ],
)
def test_the_choice_of_a_tool_narrows_the_schema(choice: Any, allowed: list[str]) -> None:
    schema = schema_of(BODY | {"tool_choice": choice})
    ways = {"weather": OSLO, "now": {"tool": "now", "arguments": {}}, "answer": {"answer": "x"}}
    assert [name for name, way in ways.items() if schema.is_valid(way)] == allowed


def test_no_tools_are_offered_where_none_may_be_called() -> None:
    constrained = constrain(BODY | {"tool_choice": "none", "parallel_tool_calls": True})
    assert constrained == {
        "messages": BODY["messages"],
        "temperature": 0,
        "logprobs": True,
    }
    assert read(orjson.dumps(OSLO).decode(), BODY | {"tool_choice": "none"})["message"] == {
        "role": "assistant",
        "content": orjson.dumps(OSLO).decode(),
    }


def test_an_answer_keeps_the_shape_that_was_asked_for() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "tree", "schema": TREE}}
    body = BODY | {"response_format": wanted}
    schema = schema_of(body)
    assert schema.is_valid({"answer": {"root": {"value": 1}}})
    assert not schema.is_valid({"answer": "Cold."})
    choice = read('{"answer": {"root": {"value": 1}}}', body)
    assert orjson.loads(choice["message"]["content"]) == {"root": {"value": 1}}
    any_object = schema_of(BODY | {"response_format": {"type": "json_object"}})
    assert any_object.is_valid({"answer": {"any": "thing"}})
    assert not any_object.is_valid({"answer": "Cold."})


def test_the_offer_stands_in_the_first_system_message_and_the_rest_goes_on() -> None:
    constrained = constrain(BODY)
    first, second = constrained["messages"]
    assert first["role"] == "system"
    assert first["content"].startswith(
        "You help.\n\nYou can use these tools:\n- weather: The weather."
    )
    assert second == BODY["messages"][1]
    assert set(constrained) == {"messages", "temperature", "response_format"}
    bare = BODY | {"messages": BODY["messages"][1:]}
    assert [message["role"] for message in constrain(bare)["messages"]] == ["system", "user"]
    parts = [{"type": "text", "text": "You help."}]
    split = BODY | {"messages": [{"role": "developer", "content": parts}]}
    assert constrain(split)["messages"][0]["content"].startswith("You help.\n\nYou can")


def test_earlier_calls_and_results_become_words() -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
    }
    messages = [
        *BODY["messages"],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "-3", "tool_call_id": "c1"},
    ]
    asked, told = constrain(BODY | {"messages": messages})["messages"][-2:]
    assert asked == {
        "role": "assistant",
        "content": '{"tool":"weather","arguments":{"city":"Oslo"}}',
    }
    assert told == {"role": "user", "content": "Result of weather:\n-3"}


def test_a_call_is_read_as_a_tool_call() -> None:
    choice = read('{"tool": "weather", "arguments": {"city": "Oslo"}}')
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")


def test_an_answer_is_read_as_text() -> None:
    assert read('{"answer": "Cold."}')["message"]["content"] == "Cold."


@pytest.mark.parametrize(
    "text",
    [
        "Cold.",
        '{"tool": "unknown"}',
        "[1]",
        '{"tool": "weather", "argu',
        "{}",
        '{"tool": []}',
        None,
    ],
)
def test_what_is_not_of_the_agreed_form_stays_text(text: str | None) -> None:
    assert interpret(said(text), BODY) == said(text)


def test_a_body_without_tools_is_left_as_it_is() -> None:
    body = {name: value for name, value in BODY.items() if name != "tools"}
    assert constrain(body) == body
    assert interpret(said('{"answer": "Cold."}'), body) == said('{"answer": "Cold."}')


def test_a_whole_call_becomes_one_valid_stream() -> None:
    answer = interpret(said(orjson.dumps(OSLO).decode()), BODY) | {"usage": {"total_tokens": 3}}
    parts = list(chunks(answer))
    assert {part["object"] for part in parts} == {"chat.completion.chunk"}
    assert {part["id"] for part in parts} == {"chatcmpl-1"}
    role, opened, written, end = (part["choices"][0] for part in parts[:-1])
    assert role["delta"] == {"role": "assistant", "content": None}
    (first,) = opened["delta"]["tool_calls"]
    assert (first["index"], first["type"], first["function"]) == (
        0,
        "function",
        {"name": "weather", "arguments": ""},
    )
    (rest,) = written["delta"]["tool_calls"]
    assert rest == {"index": 0, "function": {"arguments": '{"city":"Oslo"}'}}
    assert (end["delta"], end["finish_reason"]) == ({}, "tool_calls")
    assert parts[-1]["choices"] == []
    assert parts[-1]["usage"] == {"total_tokens": 3}
