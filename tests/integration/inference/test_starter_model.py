"""The governed call on the real built-in models: tools by schema, vectors that mean something."""

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.test import override_settings

from apps.inference.services import chat, discovery, embedding
from apps.inference.types import ChatRequest, ContextOverflow, Message, ToolOffer
from apps.model_registry import services as registry

MODELS = Path(os.environ.get("OCTAVO_MODELS_DIR") or Path.home() / ".cache/octavo/models")
NEEDED = (MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf", MODELS / "minilm" / "tokenizer.json")

pytestmark = pytest.mark.skipif(
    not all(path.is_file() for path in NEEDED),
    reason=f"the built-in models are not in {MODELS}; set OCTAVO_MODELS_DIR",
)


@pytest.fixture
def starter(scope: Any, processes: Any, free_port: int) -> None:
    """Routes `default` and `embedding` on a model server of this test."""
    server = processes.model()
    nowhere = f"http://127.0.0.1:{free_port}"
    unset = dict.fromkeys(
        ("MODEL_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), ""
    )
    with override_settings(**unset, BUILTIN_MODEL="", MODEL_SERVER_URL=server.url):
        found = discovery.find_model(ollama=nowhere, vllm=nowhere)
        registry.ensure_default_routes(scope=scope, found=found)


def test_the_starter_model_chats_calls_tools_and_embeds(scope: Any, starter: None) -> None:
    heard: list[str] = []
    hello = ChatRequest(
        messages=(Message(role="user", content="Say hello."),), max_tokens=12, temperature=0
    )
    settled = chat.complete(scope=scope, route="default", request=hello, on_delta=heard.append)
    assert settled.result.text == "".join(heard)
    assert settled.result.usage.output_tokens > 0
    assert settled.cost_usd == 0

    call_a_tool(scope)
    refuse_what_does_not_fit(scope)

    texts = ["How do I add files?", "Adding your own files", "The moon is far away"]
    near, same, far = embedding.embed(scope=scope, texts=texts).result.vectors
    assert dot(near, same) > dot(near, far) + 0.2


def call_a_tool(scope: Any) -> None:
    place = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    nested = {
        "type": "object",
        "properties": {"where": {"$ref": "#/$defs/place"}},
        "required": ["where"],
        "$defs": {"place": place},
    }
    request = ChatRequest(
        messages=(Message(role="user", content="What is the weather in Oslo? Use the tool."),),
        tools=(
            ToolOffer(name="get_weather", description="Weather of a place.", input_schema=nested),
        ),
        max_tokens=100,
        temperature=0,
    )
    result = chat.complete(scope=scope, route="default", request=request).result
    if result.tool_calls:
        (call,) = result.tool_calls
        assert call.name == "get_weather"
        assert isinstance(orjson.loads(call.arguments)["where"]["city"], str)
    else:
        assert result.text, "neither a call nor an answer"


def refuse_what_does_not_fit(scope: Any) -> None:
    long = ChatRequest(messages=(Message(role="user", content="word " * 12_000),), max_tokens=5)
    with pytest.raises(ContextOverflow, match="does not fit the context window"):
        chat.complete(scope=scope, route="default", request=long)


def dot(left: tuple[float, ...], right: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
