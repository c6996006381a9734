"""A LangGraph graph: its models are Octavo's, its loop is recorded as a run there.

OCTAVO_KEY=oct_… python -m examples.langgraph.agent <agent> "<question>"
"""

import sys
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from examples.octavo_run import KEY, URL, OctavoRun


class Recorder(BaseCallbackHandler):
    """Reports each model answer and tool answer; an error of a report stops the graph."""

    raise_error = True

    def __init__(self, run: OctavoRun) -> None:
        self._run = run
        self._tools: dict[Any, tuple[str, dict[str, Any]]] = {}
        self._prompts: dict[Any, list[dict[str, Any]]] = {}

    def on_chat_model_start(self, serialized: Any, messages: Any, **more: Any) -> None:
        self._prompts[more["run_id"]] = [
            {"role": message.type, "content": message.content} for message in messages[0]
        ]

    def on_llm_end(self, response: Any, **more: Any) -> None:
        message = response.generations[0][0].message
        usage = message.usage_metadata or {}
        told = {
            "model": message.response_metadata.get("model_name", "default"),
            "provider": "octavo",
            "content": message.content,
            "tool_calls": [
                {"id": call["id"], "name": call["name"], "arguments": call["args"]}
                for call in message.tool_calls
            ],
            "messages": self._prompts.pop(more["run_id"], []),
            "usage": {name: usage.get(name, 0) for name in ("input_tokens", "output_tokens")},
        }
        self._run.report("model_answered", told)

    def on_tool_start(self, serialized: Any, input_str: str, **more: Any) -> None:
        self._tools[more["run_id"]] = (serialized["name"], more.get("inputs") or {})

    def on_tool_end(self, output: Any, **more: Any) -> None:
        name, arguments = self._tools.pop(more["run_id"])
        content = str(getattr(output, "content", output))
        told = {"tool": name, "arguments": arguments, "content": content}
        self._run.report("tool_answered", told)


@tool
def count_letters(word: str) -> str:
    """How many letters the word has."""
    return str(len(word))


def graph() -> Any:
    model = ChatOpenAI(model="default", base_url=f"{URL}/v1", api_key=KEY).bind_tools(
        [count_letters]
    )
    built = StateGraph(MessagesState)
    built.add_node("think", lambda state: {"messages": [model.invoke(state["messages"])]})
    built.add_node("tools", ToolNode([count_letters]))
    built.add_edge(START, "think")
    built.add_conditional_edges("think", tools_condition)
    built.add_edge("tools", "think")
    return built.compile()


def main(agent: str, question: str) -> None:
    run = OctavoRun(agent=agent, question=question)
    try:
        state = graph().invoke(
            {"messages": [("user", question)]}, config={"callbacks": [Recorder(run)]}
        )
    except Exception as error:
        run.fail(error)
        raise
    run.finish(str(state["messages"][-1].content))
    print(run.id)  # noqa: T201  the program's answer


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
