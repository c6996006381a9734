"""A vLLM server is a provider like any other: added, looked at, called, and used by an agent."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema_rs
import openai
import orjson
import pytest
from django.db import connections

from apps.inference.services import chat
from apps.inference.types import ChatRequest, ContextOverflow, Message, ToolOffer
from tests.integration.api.conftest import Api
from tests.runs import eventually
from tests.vllm.conftest import CONTEXT_WINDOW, NAME, Vllm

pytestmark = pytest.mark.vllm

PATIENCE = 300.0
AT_ONCE = 4
WEATHER = ToolOffer(
    name="weather",
    description="The weather of a city.",
    input_schema={
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 40}},
        "required": ["city"],
        "additionalProperties": False,
    },
)


def asking(text: str, **options: Any) -> ChatRequest:
    messages = (Message(role="user", content=text),)
    return ChatRequest(messages=messages, **{"max_tokens": 12, "temperature": 0, **options})


def call(installation: Any, route: str, request: ChatRequest, **options: Any) -> Any:
    """From any thread: its database connection is given back."""
    try:
        return chat.complete(
            scope=installation.scope, route=route, request=request, timeout=PATIENCE, **options
        )
    finally:
        connections.close_all()


def test_its_health_says_what_it_serves_and_how_busy_it_is(
    api: Api, vllm: Vllm, route: Callable[[bool], str]
) -> None:
    route(True)
    health = api.get("models/providers/gpu/health").body
    assert (health["answers"], health["problem"], health["models"]) == (True, "", [NAME])
    assert health["version"]
    assert (health["load"]["running"], health["load"]["waiting"]) == (0, 0)
    assert 0 <= health["load"]["kv_cache_use"] <= 1
    vllm.figures["version"] = health["version"]


def test_it_answers_whole_and_streamed_alike(
    installation: Any, vllm: Vllm, route: Callable[[bool], str]
) -> None:
    name, request = route(True), asking("Say hello.")
    whole = call(installation, name, request)
    heard: list[str] = []
    began = time.monotonic()
    streamed = call(installation, name, request, on_delta=heard.append)
    seconds = time.monotonic() - began
    assert streamed.result.text == "".join(heard) == whole.result.text
    assert len(heard) > 1
    assert whole.result.usage == streamed.result.usage
    assert 0 < streamed.result.usage.output_tokens <= 12
    assert streamed.cost_usd == 0
    vllm.figures["tokens_per_second_alone"] = round(
        streamed.result.usage.output_tokens / seconds, 1
    )


@pytest.mark.parametrize("native_tools", [True, False], ids=["refused by it", "never asked for"])
def test_a_tool_call_is_constrained_by_schema_where_it_has_no_tool_parser(
    installation: Any, route: Callable[[bool], str], native_tools: bool
) -> None:
    name = route(native_tools)
    request = asking("Use the tool weather for the city Paris.", tools=(WEATHER,), max_tokens=48)
    result = call(installation, name, request).result
    assert [tool.name for tool in result.tool_calls] == ["weather"]
    jsonschema_rs.validate(WEATHER.input_schema, orjson.loads(result.tool_calls[0].arguments))


def test_what_does_not_fit_its_window_is_said_to_be_too_long(
    installation: Any, route: Callable[[bool], str]
) -> None:
    with pytest.raises(ContextOverflow, match="does not fit the context window"):
        call(installation, route(True), asking("word " * 2 * CONTEXT_WINDOW))


def test_its_load_shows_while_it_works(
    installation: Any, api: Api, vllm: Vllm, route: Callable[[bool], str]
) -> None:
    name = route(True)
    request = asking("Tell me a long story about the sea.", max_tokens=24)

    def load() -> Any:
        return api.get("models/providers/gpu/health").body["load"]

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [pool.submit(call, installation, name, request) for _ in range(AT_ONCE)]
        eventually(lambda: load()["running"] > 1, within=PATIENCE)
        tokens = sum(made.result().result.usage.output_tokens for made in calls)
    seconds = time.monotonic() - began
    eventually(lambda: load()["running"] == 0, within=PATIENCE)
    vllm.figures[f"tokens_per_second_of_{AT_ONCE}"] = round(tokens / seconds, 1)
    vllm.figures["prefix_hit_rate"] = load()["prefix_hit_rate"]


def test_the_openai_sdk_reaches_it_through_its_route(
    installation: Any, processes: Any, route: Callable[[bool], str]
) -> None:
    name, key = route(True), installation.issued_key.secret
    address = f"{processes.web(timeout=PATIENCE).url}/v1"
    question = {"role": "user", "content": "Say hello."}
    asked: Any = {"model": name, "messages": [question], "max_tokens": 12, "temperature": 0}
    with openai.OpenAI(base_url=address, api_key=key, max_retries=0, timeout=PATIENCE) as sdk:
        whole = sdk.chat.completions.create(**asked)
        options: Any = {"stream": True, "stream_options": {"include_usage": True}}
        with sdk.chat.completions.create(**asked, **options) as stream:
            chunks = list(stream)
    heard = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert heard == whole.choices[0].message.content
    assert heard.strip()
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 12


def test_an_agent_runs_on_it(
    api: Api, processes: Any, vllm: Vllm, route: Callable[[bool], str]
) -> None:
    agent = {"name": "clerk", "instructions": "Answer briefly.", "strategy": "tools"}
    assert api.post("agents", agent | {"route": route(True)}).status == 201
    processes.worker(queues="runs,control", timeout=PATIENCE)
    began = time.monotonic()
    run = api.post("runs", {"agent": "clerk", "input": "What is two plus two?"}).body
    ended = {"succeeded", "failed"}
    eventually(lambda: api.get(f"runs/{run['id']}").body["status"] in ended, within=PATIENCE)
    done = api.get(f"runs/{run['id']}").body
    assert done["status"] == "succeeded", done
    assert done["output"]["text"].strip()
    assert done["usage"]["output_tokens"] > 0
    usage = api.get(f"traces/{done['trace_id']}").body["usage"]
    assert [(row["provider"], row["model"]) for row in usage] == [("gpu", NAME)]
    vllm.figures["agent_run_seconds"] = round(time.monotonic() - began, 1)
