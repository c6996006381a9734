"""An agent of the OpenAI Agents SDK: its models are Octavo's, its loop is recorded as a run there.

OCTAVO_KEY=oct_… python -m examples.openai_agents.agent <agent> "<question>"
"""

import asyncio
import json
import sys
from typing import Any

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_trace_processors,
)
from agents.tracing import FunctionSpanData, GenerationSpanData, Span, TracingProcessor
from openai import AsyncOpenAI

from examples.octavo_run import KEY, URL, OctavoRun


class Recorder(TracingProcessor):
    """Reports each model answer and tool answer that the SDK traces."""

    def __init__(self, run: OctavoRun) -> None:
        self._run = run

    def on_span_end(self, span: Span[Any]) -> None:
        match span.span_data:
            case GenerationSpanData() as data:
                self._run.report("model_answered", _model(data))
            case FunctionSpanData() as data:
                arguments = json.loads(data.input or "{}")
                told = {"tool": data.name, "arguments": arguments, "content": str(data.output)}
                self._run.report("tool_answered", {**told, "is_error": span.error is not None})

    def on_trace_start(self, trace: Any) -> None: ...
    def on_trace_end(self, trace: Any) -> None: ...
    def on_span_start(self, span: Any) -> None: ...
    def shutdown(self) -> None: ...
    def force_flush(self) -> None: ...


def _model(data: GenerationSpanData) -> dict[str, Any]:
    message = dict((data.output or [{}])[0])
    usage = data.usage or {}
    calls = [
        {"id": call["id"], **{name: call["function"][name] for name in ("name", "arguments")}}
        for call in message.get("tool_calls") or ()
    ]
    return {
        "model": data.model or "default",
        "provider": "octavo",
        "content": message.get("content") or "",
        "tool_calls": calls,
        "messages": [{"role": m["role"], "content": m.get("content")} for m in data.input or ()],
        "usage": {name: usage.get(name, 0) for name in ("input_tokens", "output_tokens")},
    }


@function_tool
def count_letters(word: str) -> str:
    """How many letters the word has."""
    return str(len(word))


async def main(agent: str, question: str) -> None:
    run = OctavoRun(agent=agent, question=question)
    set_trace_processors([Recorder(run)])
    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY)
    model = OpenAIChatCompletionsModel(model="default", openai_client=client)
    worker = Agent(name="counter", instructions="Count.", model=model, tools=[count_letters])
    try:
        result = await Runner.run(worker, question)
    except Exception as error:
        run.fail(error)
        raise
    run.finish(str(result.final_output))
    print(run.id)  # noqa: T201  the program's answer


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
