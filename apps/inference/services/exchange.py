"""One protocol body to one target, with tools for every model: its own, or offered in the prompt.

The one path of every chat call, for runs and for callers that speak the protocol themselves.
"""

from typing import Any

from apps.inference.adapters import openai_compatible
from apps.inference.services import tool_calling
from apps.inference.types import Attempt, ChunkSink, ProtocolBody, TokenUsage
from octavo.kernel.errors import UpstreamFailed

_REFUSALS_OF_TOOLS = {400, 404, 422, 501}


async def ask(
    made: Attempt, credential: str, body: ProtocolBody, on_chunk: ChunkSink | None
) -> dict[str, Any]:
    """The whole answer; or nothing, once `on_chunk` has been given all of a streamed one."""
    native = made.target.model.native_tools
    if native or not body.get("tools"):
        try:
            asked = body if native else tool_calling.constrain(body)
            return await _send(made, credential, asked, on_chunk)
        except UpstreamFailed as error:
            if not (body.get("tools") and _refuses_tools(error)):
                raise
    return await _ask_constrained(made, credential, body, on_chunk)


async def _ask_constrained(
    made: Attempt, credential: str, body: ProtocolBody, on_chunk: ChunkSink | None
) -> dict[str, Any]:
    """A listener hears the answer once it is whole: before, it is a piece of JSON."""
    said = await _send(made, credential, tool_calling.constrain(body), None)
    answer = tool_calling.interpret(said, body)
    if on_chunk is None:
        return answer
    for chunk in tool_calling.chunks(answer):
        await on_chunk(chunk)
    return {}


async def _send(
    made: Attempt, credential: str, body: ProtocolBody, on_chunk: ChunkSink | None
) -> dict[str, Any]:
    def keep(used: TokenUsage) -> None:
        made.usage = used

    return await openai_compatible.chat(
        target=made.target, credential=credential, body=body, on_usage=keep, on_chunk=on_chunk
    )


def _refuses_tools(error: UpstreamFailed) -> bool:
    """The server has no tool calling for this model, as Ollama and vLLM say in words."""
    return error.upstream_status in _REFUSALS_OF_TOOLS and "tool" in error.detail.lower()
