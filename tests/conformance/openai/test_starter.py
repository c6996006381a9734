"""The model that every installation has, through the SDK."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.conformance.openai.behaviours import behaviour
from tests.conformance.openai.conftest import Edge
from tests.conftest import Processes

MODELS = Path(os.environ.get("OCTAVO_MODELS_DIR") or Path.home() / ".cache/octavo/models")
MODEL = "smollm2-135m-instruct"

pytestmark = pytest.mark.skipif(
    not (MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf").is_file(),
    reason=f"the built-in model is not in {MODELS}; set OCTAVO_MODELS_DIR",
)


@pytest.fixture
def starter(edge: Edge, tmp_path: Path) -> Iterator[str]:
    """A route to a model server of this test."""
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, ProviderKind

    processes = Processes(tmp_path)
    server = processes.model()
    services.create_provider(
        scope=edge.scope,
        name="builtin",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=f"{server.url}/v1",
    )
    services.add_model(
        scope=edge.scope,
        provider="builtin",
        name=MODEL,
        kind=ModelKind.CHAT,
        native_tools=False,
        context_window=4096,
    )
    services.set_route(
        scope=edge.scope, name="starter", kind=ModelKind.CHAT, targets=[("builtin", MODEL)]
    )
    yield "starter"
    processes.stop_all()


class City(BaseModel):
    name: str


@behaviour("starter.tools")
def test_the_starter_model_calls_a_tool_and_keeps_a_schema(
    edge: Edge, sdk: openai.OpenAI, starter: str
) -> None:
    city = {"type": "string", "enum": ["Oslo", "Bergen"]}
    parameters = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    question: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    with sdk.chat.completions.stream(
        model=starter,
        messages=question,
        tools=[tool],
        tool_choice="required",
        max_tokens=100,
        temperature=0,
    ) as stream:
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in {"Oslo", "Bergen"}
    answer = sdk.chat.completions.parse(
        model=starter, messages=question, response_format=City, max_tokens=60, temperature=0
    )
    assert isinstance(answer.choices[0].message.parsed, City)
