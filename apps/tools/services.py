"""Calling a tool: arguments fit its schema, and an unsafe effect is written down beforehand.

Whether a call is allowed at all is decided by the layer that makes it, through governance.
"""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError
from django.db.models.functions import Now

from apps.tools import registry, validation
from apps.tools.models import Effect
from apps.tools.types import (
    BadArguments,
    BuiltinTool,
    EffectState,
    ToolContext,
    ToolResult,
    ToolView,
    Trust,
)
from octavo.kernel.errors import OctavoError

log = logging.getLogger(__name__)


def register_builtin(tool: BuiltinTool) -> None:
    """Offer `tool` to agents. Called from `AppConfig.ready()` of the layer that owns it."""
    problem = validation.explain_schema(tool.input_schema)
    if problem:
        raise ValueError(f"The input schema of tool {tool.name!r} cannot be used: {problem}")
    registry.add(tool)


def validate_arguments(*, tool: ToolView, arguments: str) -> dict[str, Any] | BadArguments:
    """The parsed arguments, or what is wrong with them in lines that a model can repair from."""
    return validation.read(tool.input_schema, arguments)


def check_schema(*, schema: Mapping[str, Any]) -> str | None:
    """Why `schema` is not a usable JSON Schema, or None. Remote references are never fetched."""
    return validation.explain_schema(schema)


def check_instance(*, schema: Mapping[str, Any], instance: Any) -> tuple[str, ...]:
    """What in `instance` does not fit `schema`, one line each; empty when it fits."""
    return validation.explain_instance(schema, instance)


def call_builtin(
    *, context: ToolContext, tool: ToolView, arguments: Mapping[str, Any]
) -> ToolResult:
    """Run the tool's handler on validated arguments.

    A refusal of the handler becomes an error result that the model reads. A lost database is not
    the tool's answer: it propagates, and the step is tried again.
    """
    builtin = registry.tool(tool.name)
    try:
        result = builtin.handler(context, arguments)
    except OctavoError as error:
        return ToolResult(text=str(error), is_error=True, trust=Trust.TRUSTED)
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("Tool %s failed in step %s", tool.name, context.step)
        text = f"The tool {tool.name} failed. Its error is in the worker's log; try another way."
        return ToolResult(text=text, is_error=True, trust=Trust.TRUSTED)
    return _capped(result, builtin.result_cap)


def _capped(result: ToolResult, cap: int) -> ToolResult:
    if len(result.text) <= cap:
        return result
    kept = result.text[:cap]
    return ToolResult(
        text=f"{kept}\n[cut: {len(result.text) - cap} more characters; ask for less]",
        structured=result.structured,
        is_error=result.is_error,
        trust=result.trust,
        evidence=result.evidence,
    )


def begin_effect(*, run_id: UUID, step: str, tool: str, idempotency_key: str) -> None:
    """Write down that an unsafe call is about to happen, in the caller's transaction."""
    Effect.objects.update_or_create(
        run_id=run_id,
        step=step,
        defaults={
            "tool": tool,
            "idempotency_key": idempotency_key,
            "state": EffectState.INTENT,
            "changed_at": Now(),
        },
    )


def finish_effect(*, run_id: UUID, step: str) -> None:
    """Write down that the call happened and its result is known."""
    _set_state(run_id=run_id, step=step, state=EffectState.DONE)


def doubt_effect(*, run_id: UUID, step: str) -> None:
    """Write down that nobody can tell whether the call happened."""
    _set_state(run_id=run_id, step=step, state=EffectState.UNKNOWN)


def _set_state(*, run_id: UUID, step: str, state: EffectState) -> None:
    Effect.objects.filter(run_id=run_id, step=step).update(state=state, changed_at=Now())
