"""What the policies say of one tool call: of the tool, and of everything the call acts on."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from apps.governance.services import decisions
from apps.governance.types import Action, Decision, Fact, Outcome
from apps.orchestration import tracing
from apps.orchestration.activation import Activation
from apps.orchestration.steps.answering import idempotency_key
from apps.tools import selectors as tools
from apps.tools.services import calling
from apps.tools.types import ToolContext, ToolView
from octavo.kernel import ids
from octavo.kernel.scope import Scope


def decide(
    activation: Activation,
    step: str,
    tool: ToolView,
    arguments: Mapping[str, Any],
    *,
    approved: bool,
) -> Decision:
    """The recorded decision about the call. One approval covers it and all that it touches."""
    decision, activation.decided = activation.decided, None
    if decision is None or approved:
        facts = facts_of(tool, tainted=activation.program.tainted, approved=approved)
        decision = decide_on_tool(activation.scope, tool, facts, step=step)
    if approved or decision.outcome not in {Outcome.ALLOW, Outcome.REQUIRE_APPROVAL}:
        return decision
    context = context_of(activation, step)
    return _with_touched(context, tool, arguments, decision)


def facts_of(tool: ToolView, *, tainted: bool, approved: bool = False) -> Mapping[str, Fact]:
    return {
        "risk": tool.risk.value,
        "egress": tool.egress,
        "tainted": tainted,
        "approved": approved,
    }


def decide_on_tool(
    scope: Scope, tool: ToolView, facts: Mapping[str, Fact], *, step: str
) -> Decision:
    return decisions.decide(
        scope=scope,
        action=Action.TOOL_CALL,
        resource=tools.resource_of(tool),
        facts=facts,
        step=step,
    )


def context_of(activation: Activation, step: str, *, approved: bool = False) -> ToolContext:
    return ToolContext(
        scope=activation.scope,
        step=step,
        idempotency_key=idempotency_key(activation, step),
        approved=approved,
        on_progress=activation.on_progress,
        traceparent=_traceparent(activation, step),
    )


def _traceparent(activation: Activation, step: str) -> str:
    """W3C trace context: the far end's spans hang below this step's own."""
    attempt = activation.state.progress(step).failures + 1
    run_id = activation.run.id
    return f"00-{ids.trace_id(run_id)}-{tracing.span_id(run_id, step, attempt)}-01"


def _with_touched(
    context: ToolContext, tool: ToolView, arguments: Mapping[str, Any], decision: Decision
) -> Decision:
    """Stronger where something that the call touches needs approval.

    What is refused altogether is refused by the tool itself, in words that give nothing away.
    """
    asked = [
        decisions.ask(scope=context.scope, action=action, resource=resource)
        for action, resource in calling.list_touched(
            context=context, tool=tool, arguments=arguments
        )
    ]
    waiting = [one for one in (decision, *asked) if one.outcome is Outcome.REQUIRE_APPROVAL]
    if not waiting:
        return decision
    return replace(
        decision,
        outcome=Outcome.REQUIRE_APPROVAL,
        policies=tuple(dict.fromkeys(chain.from_iterable(one.policies for one in waiting))),
        obligations=tuple(chain.from_iterable(one.obligations for one in waiting)),
        explain=" ".join(dict.fromkeys(one.explain for one in waiting)),
    )
