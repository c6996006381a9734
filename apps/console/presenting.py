"""What pages show of a run: its line in lists, the facts at its top, what it asks of a person."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.console import formatting
from apps.governance.types import Approval
from apps.orchestration.types.runs import RunStatus, RunView
from apps.orchestration.types.triggers import TriggerKind
from apps.tools import selectors as tools
from apps.tools.types import Risk, ToolView
from octavo.kernel import clock, ids
from octavo.kernel.scope import Scope

TONES = {
    RunStatus.QUEUED: "idle",
    RunStatus.RUNNING: "run",
    RunStatus.WAITING: "wait",
    RunStatus.PAUSED: "wait",
    RunStatus.SUCCEEDED: "ok",
    RunStatus.FAILED: "bad",
    RunStatus.CANCELLED: "idle",
    RunStatus.QUARANTINED: "bad",
}
_WAITS = {
    "approval": "Waiting for approval",
    "effect": "Waiting: did it happen?",
    "timer": "Waiting for the clock",
    "input": "Waiting for an answer",
    "run": "Waiting for a run",
    "signal": "Waiting for a signal",
}
_TRIGGERS = {kind.id_kind.value: kind.value for kind in TriggerKind}
EFFECTS = {
    Risk.READ: "Reads only",
    Risk.WRITE: "Writes · can be corrected",
    Risk.IRREVERSIBLE: "Not reversible",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run in a list or at the top of its page. `since` is set while its clock ticks."""

    public_id: str
    agent: str
    is_workflow: bool
    version: int | None
    question: str
    status: str
    tone: str
    is_final: bool
    started_by: str
    triggered_by: str
    trigger_kind: str
    created_at: datetime
    since: datetime | None
    took: str
    steps: int
    tokens: str
    cost: str
    parent: str
    retry_of: str
    tags: tuple[str, ...] = ()
    forked_from: str = ""
    forked_at: str = ""
    is_dry_run: bool = False
    is_external: bool = False


def run_line(run: RunView) -> RunLine:
    end = run.finished_at or clock.now()
    began = run.started_at or run.created_at
    status = run.status.capitalize()
    if run.waiting_on is not None and run.status is RunStatus.WAITING:
        status = _WAITS.get(run.waiting_on.kind, status)
    return RunLine(
        public_id=ids.encode(ids.Kind.RUN, run.id),
        agent=run.subject,
        is_workflow=run.workflow is not None,
        version=run.version,
        question=question_of(run.input),
        status=status,
        tone=TONES[run.status],
        is_final=run.status.is_final,
        started_by=run.started_by.partition(":")[2] or run.started_by,
        triggered_by=run.triggered_by,
        trigger_kind=_TRIGGERS.get(run.triggered_by.partition("_")[0], ""),
        created_at=run.created_at,
        since=None if run.finished_at else began,
        took=formatting.duration(end - began),
        steps=run.steps,
        tokens=f"{run.input_tokens + run.output_tokens:,}",
        cost=formatting.money(run.cost_usd),
        parent=ids.encode(ids.Kind.RUN, run.parent) if run.parent else "",
        retry_of=ids.encode(ids.Kind.RUN, run.retry_of) if run.retry_of else "",
        tags=run.tags,
        forked_from=ids.encode(ids.Kind.RUN, run.forked_from.run) if run.forked_from else "",
        forked_at=run.forked_from.step if run.forked_from else "",
        is_dry_run=run.is_dry_run,
        is_external=run.is_external,
    )


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def question_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A call that waits for a person, in the words of the decision they have to take."""

    approval: Approval
    public_id: str
    run_id: str
    asker: str
    effect: str
    egress: bool
    arguments: str
    tone: str


_APPROVAL_TONES = {"pending": "wait", "approved": "ok", "refused": "bad", "expired": "bad"}


def asks_of(scope: Scope, approvals: Sequence[Approval]) -> list[Ask]:
    """Each tool is looked up once, however many of its calls wait."""
    names = {approval.tool for approval in approvals}
    known = {name: tools.find_tool(scope=scope, name=name) for name in names}
    return [_ask(approval, known[approval.tool]) for approval in approvals]


def ask_of(scope: Scope, approval: Approval) -> Ask:
    return asks_of(scope, [approval])[0]


def _ask(approval: Approval, tool: ToolView | None) -> Ask:
    return Ask(
        approval=approval,
        public_id=ids.encode(ids.Kind.APPROVAL, approval.id),
        run_id=ids.encode(ids.Kind.RUN, approval.run_id),
        asker=approval.requested_by.partition(":")[2] or approval.requested_by,
        effect=EFFECTS[tool.risk] if tool else "Unknown: the tool is gone",
        egress=tool.egress if tool else False,
        arguments=as_json(dict(approval.arguments)),
        tone=_APPROVAL_TONES.get(approval.status, "idle"),
    )
