"""Tools that make a run wait: for a person's words or approval, for a signal, or for a while."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from apps.orchestration.fold import AWAIT_SIGNAL
from apps.tools.types import BuiltinTool, Effect, Risk, ToolContext, ToolResult, Trust, Waits

_LONGEST_WAIT = timedelta(days=30)


def _approved(_: ToolContext, __: Mapping[str, Any]) -> ToolResult:
    """Reached only once a person has approved the call: the policies ask for that every time."""
    return ToolResult(text="Approved.", structured={"approved": True}, trust=Trust.TRUSTED)


TOOLS = (
    BuiltinTool(
        name="ask_approval",
        description=(
            "Ask a person to approve what comes next, and wait for it. A refusal is an error."
        ),
        input_schema={
            "type": "object",
            "properties": {"message": {"type": "string", "minLength": 1, "maxLength": 4000}},
            "required": ["message"],
            "additionalProperties": False,
        },
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        handler=_approved,
    ),
    BuiltinTool(
        name="ask_person",
        description=(
            "Ask a person a question and wait for the answer, however long it takes. Use it when "
            "only a person can know or decide; `choices` are answers to pick from."
        ),
        input_schema={
            "type": "object",
            "properties": {
                "question": {"type": "string", "minLength": 1, "maxLength": 4000},
                "choices": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": 200},
                    "maxItems": 20,
                },
            },
            "required": ["question"],
            "additionalProperties": False,
        },
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        waits=Waits.INPUT,
    ),
    BuiltinTool(
        name=AWAIT_SIGNAL,
        description=(
            "Wait for a signal of this name, which a program or a person sends to the run, and "
            "return its payload. A signal that came before is returned at once."
        ),
        input_schema={
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 200},
                "timeout_seconds": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": int(_LONGEST_WAIT.total_seconds()),
                },
            },
            "required": ["name"],
            "additionalProperties": False,
        },
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        trust=Trust.UNTRUSTED,
        waits=Waits.SIGNAL,
    ),
    BuiltinTool(
        name="wait",
        description="Wait for so many seconds, from 1 up to 30 days, before going on.",
        input_schema={
            "type": "object",
            "properties": {
                "seconds": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": int(_LONGEST_WAIT.total_seconds()),
                },
            },
            "required": ["seconds"],
            "additionalProperties": False,
        },
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        waits=Waits.TIME,
    ),
)
