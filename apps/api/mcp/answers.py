"""Results as MCP says them. A tool that failed is an answer that the model reads (`isError`), not a
protocol error; https://modelcontextprotocol.io/specification/2026-07-28/server/tools
"""

from typing import Any

import mcp_types as t
from django.conf import settings

from apps.governance.types import Approval
from apps.orchestration.types.runs import RunStatus, RunView, ToolAnswer, ToolCallView
from octavo.kernel import ids


def of_call(call: ToolCallView) -> t.CallToolResult:
    """How a tool call that ended came out."""
    if call.answer is None:
        return failure(_why(call.run), call.run)
    return t.CallToolResult(
        content=[t.TextContent(text=call.answer.text)],
        structured_content=call.answer.structured,
        is_error=call.answer.is_error,
        _meta=_meta(call.run) | _standing(call.answer),
    )


def of_agent(run: RunView) -> t.CallToolResult:
    """How an agent's run that ended came out."""
    if run.status is not RunStatus.SUCCEEDED or run.output is None:
        return failure(_why(run), run)
    return _of_text(run, run.output["text"], run.output["citations"])


def failure(text: str, run: RunView | None = None) -> t.CallToolResult:
    return t.CallToolResult(
        content=[t.TextContent(text=text)], is_error=True, _meta=_meta(run) if run else None
    )


def pending(run: RunView, approval: Approval | None, *, is_error: bool) -> t.CallToolResult:
    """Said when nobody can wait longer."""
    name = ids.encode(ids.Kind.RUN, run.id)
    later = f"Read the result later: call `run_result` with the run {name}."
    text = f"{_state(run, approval)} {later}"
    return failure(text, run) if is_error else _of_text(run, text, ())


def console_url(run: RunView) -> str:
    """Where a person sees the run, and decides what it waits for."""
    return f"{settings.PUBLIC_URL}/runs/{ids.encode(ids.Kind.RUN, run.id)}"


def _of_text(run: RunView, text: str, citations: Any) -> t.CallToolResult:
    structured = {
        "text": text,
        "citations": list(citations),
        "run": ids.encode(ids.Kind.RUN, run.id),
    }
    return t.CallToolResult(
        content=[t.TextContent(text=text)], structured_content=structured, _meta=_meta(run)
    )


def _state(run: RunView, approval: Approval | None) -> str:
    what = f"The call of {run.tool}" if run.tool else f"The run of {run.subject!r}"
    if approval is not None:
        return (
            f"{what} waits for an approval, {ids.encode(ids.Kind.APPROVAL, approval.id)}: the rule "
            f"{approval.policy} asks a person about {approval.tool}, until "
            f"{approval.expires_at:%Y-%m-%d %H:%M} UTC. It can be decided at {console_url(run)}. "
            "Once approved, the call is made without being asked for again: do not repeat it."
        )
    if run.waiting_on is not None and run.waiting_on.kind == "effect":
        return (
            f"{what} was cut off, and nobody can tell whether it happened. A person must say so at "
            f"{console_url(run)}: do not repeat it."
        )
    if run.waiting_on is not None and run.waiting_on.kind == "input":
        return f"{what} waits for an answer of a person, who can give it at {console_url(run)}."
    return f"{what} goes on in the background ({run.status})."


def _why(run: RunView) -> str:
    if run.error is not None:
        return str(run.error["detail"])
    return f"The run ended without an answer: it was {run.status}. See {console_url(run)}."


def _meta(run: RunView) -> dict[str, Any]:
    return {"octavo/run": ids.encode(ids.Kind.RUN, run.id), "octavo/trace": run.trace_id}


def _standing(answer: ToolAnswer) -> dict[str, Any]:
    evidence = {"octavo/evidence": list(answer.evidence)} if answer.evidence else {}
    return {"octavo/trust": answer.trust, **evidence}
