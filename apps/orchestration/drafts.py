"""How each event is written: small JSON, with every text that may be long or repeated as a blob.

`fill` is the reverse: it puts the content back where its name stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.agents.types import CallModel, Remembered, Source
from apps.governance.types import Approval, Decision
from apps.inference.types import ChatResult, Message, Settled, ToolCall
from apps.orchestration.records import Blobs, Draft
from apps.orchestration.types.runs import EventType
from apps.tools.types import ToolResult
from octavo.kernel import ids

LONGEST_QUERY = 4000
_BLOB_KEYS = ("message", "structured")


def message_json(message: Message) -> dict[str, Any]:
    """A message as stored: only what it has."""
    stored: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        stored["tool_calls"] = [asdict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        stored["tool_call_id"] = message.tool_call_id
    return stored


def message_of(stored: Mapping[str, Any]) -> Message:
    """The reverse of `message_json`."""
    calls = tuple(ToolCall(**call) for call in stored.get("tool_calls", ()))
    return Message(**{**stored, "tool_calls": calls})


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Messages by the names of their content, in order."""

    names: tuple[str, ...]
    blobs: Blobs


def conversation_of(messages: Sequence[Message]) -> Conversation:
    blobs = Blobs()
    names = tuple(blobs.put(message_json(message)) for message in messages)
    return Conversation(names=names, blobs=blobs)


def retrieved(
    step: str,
    *,
    query: str,
    quote: bool,
    spaces: Sequence[str],
    sources: Sequence[Source],
    memory: Sequence[Remembered] = (),
    as_of: Mapping[str, int] | None,
    attempt: int,
    took: float,
) -> Draft:
    blobs = Blobs()
    data: dict[str, Any] = {
        "query": query,
        "quote": quote,
        "spaces": list(spaces),
        "sources": [
            {
                "text": blobs.put(source.text),
                "score": round(source.score, 6),
                "citation": dict(source.citation),
                "trust": source.trust,
            }
            for source in sources
        ],
    }
    if memory:
        data["memory"] = [{**asdict(block), "text": blobs.put(block.text)} for block in memory]
    if as_of is not None:
        data["as_of"] = dict(as_of)
    return Draft(
        type=EventType.CONTEXT_RETRIEVED,
        step=step,
        data=data,
        blobs=blobs,
        attempt=attempt,
        took=took,
        is_step=True,
    )


def model_answered(
    call: CallModel,
    settled: Settled[ChatResult],
    *,
    route: str,
    offered: Sequence[str],
    previous_prompt: Sequence[str],
    attempt: int,
    took: float,
) -> Draft:
    """The prompt is kept as what changed since the one before: `keep` names of it, then `add`."""
    result, blobs = settled.result, Blobs()
    prompt = [blobs.put(message_json(message)) for message in call.messages]
    keep = _shared_start(previous_prompt, prompt)
    answer = Message(role="assistant", content=result.text, tool_calls=result.tool_calls)
    name = blobs.put(message_json(answer))
    for known in set(prompt[:keep]) - {name}:
        del blobs[known]
    data = {
        "route": route,
        "model": result.model,
        "provider": result.provider,
        "finish_reason": result.finish_reason,
        "message": name,
        "offered": list(offered),
        "prompt": {"keep": keep, "add": prompt[keep:]},
        "usage": {
            "input_tokens": result.usage.input_tokens,
            "output_tokens": result.usage.output_tokens,
            "cost_usd": f"{settled.cost_usd.normalize():f}",
        },
        "usage_id": ids.encode(ids.Kind.USAGE, settled.usage_id),
        "decision_id": ids.encode(ids.Kind.DECISION, settled.decision_id),
    }
    return Draft(
        type=EventType.MODEL_ANSWERED,
        step=call.step,
        data=data,
        blobs=blobs,
        attempt=attempt,
        took=took,
        is_step=True,
        input_tokens=result.usage.input_tokens,
        output_tokens=result.usage.output_tokens,
        cost_usd=settled.cost_usd,
    )


def _shared_start(first: Sequence[str], second: Sequence[str]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def model_failed(
    step: str,
    *,
    code: str,
    detail: str,
    retry_in: timedelta | None,
    is_too_long: bool = False,
    attempt: int,
    took: float,
) -> Draft:
    seconds = None if retry_in is None else retry_in.total_seconds()
    data: dict[str, Any] = {"code": code, "detail": detail, "retry_in": seconds}
    if is_too_long:
        data["is_too_long"] = True
    return Draft(type=EventType.MODEL_FAILED, step=step, data=data, attempt=attempt, took=took)


def tool_intended(
    step: str, *, tool: str, arguments: Mapping[str, Any], idempotency_key: str, attempt: int
) -> Draft:
    data = {"tool": tool, "arguments": dict(arguments), "idempotency_key": idempotency_key}
    return Draft(type=EventType.TOOL_INTENDED, step=step, data=data, attempt=attempt)


def tool_failed(
    step: str,
    *,
    tool: str,
    detail: str,
    was_sent: bool,
    retry_in: timedelta,
    attempt: int,
    took: float,
) -> Draft:
    data = {
        "tool": tool,
        "detail": detail,
        "was_sent": was_sent,
        "retry_in": retry_in.total_seconds(),
    }
    return Draft(type=EventType.TOOL_FAILED, step=step, data=data, attempt=attempt, took=took)


def tool_answered(
    step: str,
    call: ToolCall,
    result: ToolResult,
    *,
    arguments: Mapping[str, Any] | str,
    digest: str,
    decision: Mapping[str, Any] | None = None,
    approval: str | None = None,
    attempt: int = 1,
    took: float = 0.0,
) -> Draft:
    blobs = Blobs()
    message = Message(role="tool", content=result.text, tool_call_id=call.id)
    data: dict[str, Any] = {
        "tool": call.name,
        "call_id": call.id,
        "arguments": arguments,
        "message": blobs.put(message_json(message)),
        "is_error": result.is_error,
        "trust": result.trust,
        "evidence": [dict(citation) for citation in result.evidence],
        "digest": digest,
    }
    if result.structured is not None:
        data["structured"] = blobs.put(dict(result.structured))
    if decision is not None:
        data["decision"] = decision
    if approval is not None:
        data["approval"] = approval
    return Draft(
        type=EventType.TOOL_ANSWERED,
        step=step,
        data=data,
        blobs=blobs,
        attempt=attempt,
        took=took,
        is_step=True,
    )


def approval_requested(step: str, approval: Approval, decision: Decision, attempt: int) -> Draft:
    data = {
        "approval": ids.encode(ids.Kind.APPROVAL, approval.id),
        "tool": approval.tool,
        "arguments": dict(approval.arguments),
        "policy": approval.policy,
        "explain": decision.explain,
        "expires_at": approval.expires_at,
    }
    return Draft(type=EventType.APPROVAL_REQUESTED, step=step, data=data, attempt=attempt)


def approval_decided(step: str, approval: Approval) -> Draft:
    data = {
        "approval": ids.encode(ids.Kind.APPROVAL, approval.id),
        "status": approval.status,
        "by": approval.decided_by,
        "note": approval.note,
        "arguments": dict(approval.arguments),
    }
    return Draft(type=EventType.APPROVAL_DECIDED, step=step, data=data)


def input_requested(step: str, asked: Mapping[str, Any]) -> Draft:
    return Draft(type=EventType.INPUT_REQUESTED, step=step, data=dict(asked))


def input_received(step: str, *, content: str, by: str, read_mail: int) -> Draft:
    data = {"content": content, "by": by}
    return Draft(type=EventType.INPUT_RECEIVED, step=step, data=data, read_mail=read_mail)


def signal_received(*, name: str, payload: Any, by: str, read_mail: int) -> Draft:
    data = {"name": name, "payload": payload, "by": by}
    return Draft(type=EventType.SIGNAL_RECEIVED, step="", data=data, read_mail=read_mail)


def permission(decision: Decision) -> dict[str, Any]:
    """What allowed a call, as events name it."""
    return {
        "id": ids.encode(ids.Kind.DECISION, decision.id),
        "outcome": decision.outcome,
        "policies": list(decision.policies),
    }


def timer_started(
    step: str, *, until: datetime, decision: Mapping[str, Any] | None = None
) -> Draft:
    data = {"until": until} if decision is None else {"until": until, "decision": decision}
    return Draft(type=EventType.TIMER_STARTED, step=step, data=data)


def child_started(step: str, *, run: str, **runs: str) -> Draft:
    """`runs` is `agent` or `workflow`, with its name."""
    return Draft(type=EventType.CHILD_STARTED, step=step, data={"run": run, **runs})


def handed_off(step: str, *, run: str, agent: str, why: str, conversation: Conversation) -> Draft:
    data = {"run": run, "agent": agent, "why": why, "conversation": list(conversation.names)}
    return Draft(type=EventType.HANDED_OFF, step=step, data=data, blobs=conversation.blobs)


def child_finished(step: str, ended: Mapping[str, Any], *, read_mail: int) -> Draft:
    data = {key: ended[key] for key in ("run", "status", "output", "error", "tainted")}
    return Draft(type=EventType.CHILD_FINISHED, step=step, data=data, read_mail=read_mail)


def held(kind: EventType, *, by: str, read_mail: int) -> Draft:
    """A person paused the run, or let it go on."""
    return Draft(type=kind, step="", data={"by": by}, read_mail=read_mail)


def effect_unknown(step: str, *, tool: str, idempotency_key: str) -> Draft:
    data = {"tool": tool, "idempotency_key": idempotency_key}
    return Draft(type=EventType.EFFECT_UNKNOWN, step=step, data=data)


def effect_resolved(step: str, *, outcome: str, result: str, by: str, read_mail: int) -> Draft:
    data = {"outcome": outcome, "result": result, "by": by}
    return Draft(type=EventType.EFFECT_RESOLVED, step=step, data=data, read_mail=read_mail)


def blob_names(kind: EventType, data: Mapping[str, Any]) -> list[str]:
    """The blobs that `fill` needs for this event."""
    if kind is EventType.CONTEXT_RETRIEVED:
        return [read["text"] for read in (*data["sources"], *data.get("memory", ()))]
    if kind in {EventType.MODEL_ANSWERED, EventType.TOOL_ANSWERED}:
        return [data[key] for key in _BLOB_KEYS if key in data]
    return list(data.get("conversation", ()))


def fill(kind: EventType, data: Mapping[str, Any], blobs: Mapping[str, Any]) -> dict[str, Any]:
    """The event's data as others see it, with content in place of names."""
    if kind is EventType.CONTEXT_RETRIEVED:
        read = {
            key: [{**one, "text": blobs[one["text"]]} for one in data[key]]
            for key in ("sources", "memory")
            if key in data
        }
        return {**data, **read}
    if kind in {EventType.MODEL_ANSWERED, EventType.TOOL_ANSWERED}:
        content = {key: blobs[data[key]] for key in _BLOB_KEYS if key in data}
        return {**data, **content}
    if "conversation" in data:
        return {**data, "conversation": [blobs[name] for name in data["conversation"]]}
    return dict(data)
