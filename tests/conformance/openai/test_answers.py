"""What the SDK gets when all goes well: chat, streams, tools, schemas, vectors, models."""

import asyncio
import base64
import json
import struct
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.conformance.openai.behaviours import behaviour
from tests.conformance.openai.conftest import PROVIDER_KEY, Edge
from tests.integration.inference import upstream as fake

HI: list[Any] = [{"role": "user", "content": "Hello?"}]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
TIME: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}


@behaviour("models.list")
def test_routes_are_listed_as_models(edge: Edge, sdk: openai.OpenAI) -> None:
    models = sdk.models.list().data
    assert [(model.id, model.object, model.owned_by) for model in models] == [
        (name, "model", "octavo") for name in ("main", "small", "vectors")
    ]
    assert all(model.created > 1_700_000_000 for model in models)


@behaviour("models.retrieve")
def test_one_model_is_read_by_its_name(edge: Edge, sdk: openai.OpenAI) -> None:
    assert sdk.models.retrieve("main").id == "main"
    with edge.sdk(key="none", default_headers={"x-api-key": edge.key}) as other:
        assert other.models.retrieve("small").id == "small"
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.models.retrieve("lab/lab-main")
    assert caught.value.code == "model_not_found"


@behaviour("chat.create")
def test_an_answer_is_the_providers_own_under_the_routes_name(
    edge: Edge, sdk: openai.OpenAI
) -> None:
    body = fake.completion(
        {"content": "Hi.", "reasoning_content": "Greet."}, system_fingerprint="f"
    )
    body["choices"][0]["logprobs"] = {"content": [], "refusal": None}
    edge.upstream.script.append(fake.json_answer(body))
    answer = sdk.chat.completions.create(model="main", messages=HI, logprobs=True)
    (choice,) = answer.choices
    assert (answer.model, answer.id, answer.system_fingerprint) == ("main", "chatcmpl-1", "f")
    assert choice.message.content == "Hi."
    assert choice.message.model_extra == {"reasoning_content": "Greet."}
    assert choice.logprobs is not None
    assert answer.usage is not None
    assert answer.usage.total_tokens == 18
    assert edge.usage() == [("ok", 11, 7)]
    assert edge.rows("SELECT cost_usd::text, route, model, kind FROM usage") == [
        ("0.000092000", "main", "lab-main", "chat")
    ]


@behaviour("chat.create.passthrough")
def test_every_field_goes_on_unchanged_also_unknown_ones(edge: Edge, sdk: openai.OpenAI) -> None:
    pixel = "data:image/png;base64,iVBORw0KGgo="
    fields: dict[str, Any] = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": pixel, "detail": "low"}},
                ],
            },
        ],
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "stop": ["END"],
        "seed": 7,
        "temperature": 0.5,
        "max_completion_tokens": 99,
        "user": "u-1",
        "metadata": {"team": "blue"},
    }
    sdk.chat.completions.create(model="main", **fields, extra_body={"guided_regex": "[a-z]+"})
    (seen,) = edge.upstream.seen
    assert seen.body == fields | {"guided_regex": "[a-z]+", "model": "lab-main"}
    assert seen.headers["Authorization"] == f"Bearer {PROVIDER_KEY}"
    sdk.chat.completions.create(model="main", messages=HI, stream=True).close()
    assert edge.upstream.seen[1].body == {
        "model": "lab-main",
        "messages": HI,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@behaviour("chat.create.async")
def test_the_asynchronous_sdk_chats_and_streams(edge: Edge) -> None:
    async def converse() -> tuple[str | None, str]:
        async with edge.async_sdk() as sdk:
            whole = await sdk.chat.completions.create(model="main", messages=HI)
            stream = await sdk.chat.completions.create(model="main", messages=HI, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        return whole.choices[0].message.content, "".join(pieces)

    assert asyncio.run(converse()) == (fake.TEXT, fake.TEXT)
    assert edge.usage() == [("ok", 11, 7)] * 2


@behaviour("chat.stream")
def test_a_stream_arrives_piece_by_piece_without_usage_that_nobody_asked_for(
    edge: Edge, sdk: openai.OpenAI
) -> None:
    chunks = list(sdk.chat.completions.create(model="main", messages=HI, stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == [
        None,
        "Hello",
        " from",
        " upstream.",
        None,
    ]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.model for chunk in chunks} == {"main"}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert all(chunk.usage is None for chunk in chunks)
    assert edge.usage() == [("ok", 11, 7)]


@behaviour("chat.stream.usage")
def test_usage_ends_the_stream_of_whoever_asks_for_it(edge: Edge, sdk: openai.OpenAI) -> None:
    *rest, last = sdk.chat.completions.create(
        model="main", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    assert all(chunk.usage is None for chunk in rest)
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (11, 7)


@behaviour("chat.tools")
def test_tools_make_a_round_trip(edge: Edge, sdk: openai.OpenAI) -> None:
    edge.upstream.script.append(
        fake.json_answer(fake.completion({"content": None, "tool_calls": [CALL]}))
    )
    asked = sdk.chat.completions.create(model="main", messages=HI, tools=[WEATHER])  # type: ignore[list-item]
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    told: list[Any] = [
        *HI,
        message,
        {"role": "tool", "tool_call_id": call.id, "content": "-3 °C"},
    ]
    answer = sdk.chat.completions.create(model="main", messages=told)
    assert answer.choices[0].message.content == fake.TEXT
    sent = edge.upstream.seen[1].body["messages"]
    assert sent[1]["tool_calls"] == [CALL]
    assert sent[2] == {"role": "tool", "tool_call_id": "call_1", "content": "-3 °C"}


@behaviour("chat.tools.parallel")
def test_parallel_calls_are_streamed_apart(edge: Edge, sdk: openai.OpenAI) -> None:
    opened = [
        {"index": n, "id": f"call_{n}", "type": "function", "function": {"name": name}}
        for n, name in enumerate(("weather", "now"))
    ]
    pieces = [
        {"tool_calls": opened},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ' "Oslo"}'}}]},
    ]
    edge.upstream.script.append(
        fake.stream(*map(fake.chunk, pieces), fake.chunk({}, "tool_calls"), fake.USAGE, fake.DONE)
    )
    with sdk.chat.completions.stream(
        model="main", messages=HI, tools=[WEATHER, TIME], parallel_tool_calls=True
    ) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [(c.id, c.function.name, json.loads(c.function.arguments)) for c in calls] == [
        ("call_0", "weather", {"city": "Oslo"}),
        ("call_1", "now", {}),
    ]


@behaviour("chat.tools.offered")
def test_a_model_without_tools_calls_them_all_the_same(edge: Edge, sdk: openai.OpenAI) -> None:
    edge.upstream.script.append(
        fake.text_answer('{"tool": "weather", "arguments": {"city": "Oslo"}}')
    )
    answer = sdk.chat.completions.create(
        model="small",
        messages=HI,
        tools=[WEATHER],  # type: ignore[list-item]
        temperature=0,
        seed=1,
    )
    calls: Any = answer.choices[0].message.tool_calls
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("weather", '{"city":"Oslo"}')
    ]
    assert answer.choices[0].finish_reason == "tool_calls"
    sent = edge.upstream.seen[0].body
    assert set(sent) == {"model", "messages", "temperature", "seed", "response_format"}
    assert "weather" in sent["messages"][0]["content"]


@behaviour("chat.tools.offered.stream")
def test_a_constrained_call_is_streamed_as_a_call(edge: Edge, sdk: openai.OpenAI) -> None:
    edge.upstream.script.append(
        fake.text_answer('{"tool": "weather", "arguments": {"city": "Oslo"}}')
    )
    with sdk.chat.completions.stream(
        model="small",
        messages=HI,
        tools=[WEATHER],
        stream_options={"include_usage": True},
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    (call,) = final.choices[0].message.tool_calls or []
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"city": "Oslo"},
    )
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.usage is not None
    assert final.usage.completion_tokens == 7


@behaviour("chat.tools.choice")
def test_a_model_without_tools_keeps_the_choice_of_a_tool(edge: Edge, sdk: openai.OpenAI) -> None:
    ways: list[tuple[Any, int]] = [
        ("auto", 3),
        ("required", 2),
        ({"type": "function", "function": {"name": "now"}}, 1),
    ]
    for choice, count in ways:
        edge.upstream.script.append(fake.text_answer('{"tool": "now", "arguments": {}}'))
        sdk.chat.completions.create(
            model="small",
            messages=HI,
            tools=[WEATHER, TIME],  # type: ignore[list-item]
            tool_choice=choice,
        )
        schema = edge.upstream.seen[-1].body["response_format"]["json_schema"]["schema"]
        assert len(schema["anyOf"]) == count
    sdk.chat.completions.create(
        model="small",
        messages=HI,
        tools=[WEATHER],  # type: ignore[list-item]
        tool_choice="none",
    )
    assert set(edge.upstream.seen[-1].body) == {"model", "messages"}


class City(BaseModel):
    name: str
    people: int


@behaviour("chat.parse")
def test_an_answer_is_parsed_into_a_type(edge: Edge, sdk: openai.OpenAI) -> None:
    edge.upstream.script.append(fake.text_answer('{"name": "Oslo", "people": 700000}'))
    answer = sdk.chat.completions.parse(model="main", messages=HI, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Oslo", people=700_000)
    sent = edge.upstream.seen[0].body["response_format"]
    assert sent["json_schema"]["strict"] is True


@behaviour("embeddings.create")
def test_texts_become_vectors_in_both_encodings(edge: Edge, sdk: openai.OpenAI) -> None:
    plain = sdk.embeddings.create(model="vectors", input=["a", "b"], encoding_format="float")
    assert [row.index for row in plain.data] == [0, 1]
    assert plain.data[1].embedding == pytest.approx([0.6, 0.8])
    assert (plain.model, plain.usage.prompt_tokens) == ("vectors", 10)
    packed = sdk.embeddings.create(model="vectors", input="a")  # the SDK asks for base64
    assert packed.data[0].embedding == pytest.approx([0.6, 0.8])
    raw = sdk.embeddings.with_raw_response.create(
        model="vectors", input="a", encoding_format="base64", dimensions=2
    )
    vector = base64.b64decode(json.loads(raw.text)["data"][0]["embedding"])
    assert struct.unpack("<2f", vector) == pytest.approx((0.6, 0.8))
    assert edge.rows("SELECT DISTINCT kind, status FROM usage") == [("embedding", "ok")]


@behaviour("headers.ids")
def test_every_answer_names_its_request_and_its_usage(edge: Edge, sdk: openai.OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model="main", messages=HI)
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.parse()._request_id == raw.headers["x-request-id"]
    from octavo.kernel import ids

    usage_id = ids.decode(ids.Kind.USAGE, raw.headers["x-octavo-usage-id"])
    assert edge.rows("SELECT id FROM usage") == [(usage_id,)]
    assert not [name for name in raw.headers if name.startswith("x-ratelimit")]


@behaviour("trace.parent")
def test_a_call_is_a_span_in_its_callers_trace(edge: Edge, sdk: openai.OpenAI) -> None:
    import httpx2

    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    for _ in range(2):
        sdk.chat.completions.create(
            model="main", messages=HI, extra_headers={"traceparent": f"00-{trace}-{parent}-01"}
        )
    sdk.chat.completions.create(model="main", messages=HI)
    headers = {"Authorization": f"Bearer {edge.key}"}
    found = httpx2.get(f"{edge.url}/api/v1/traces/{trace}", headers=headers).json()
    assert found["run"] is None
    assert [(span["parent_id"], span["kind"], span["status"]) for span in found["spans"]] == [
        (parent, "model", "ok")
    ] * 2
    assert [call["cost_usd"] for call in found["usage"]] == ["0.000092"] * 2
    ((own, usage_id),) = edge.rows("SELECT trace_id, id FROM usage ORDER BY id DESC LIMIT 1")
    assert own == usage_id
    alone = httpx2.get(f"{edge.url}/api/v1/traces/{own.hex}", headers=headers).json()
    assert [span["parent_id"] for span in alone["spans"]] == [None]
