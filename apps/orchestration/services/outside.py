"""Runs whose loop is outside: a framework reports what it did, and Octavo keeps the journal.

No worker claims such a run and it has no lease; its row is locked while a report is written. A
report that arrives twice is accepted twice and written once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.agents import selectors as agents
from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.observability import metrics
from apps.orchestration import journal, reporting, statements
from apps.orchestration.models import Run
from apps.orchestration.records import Head, dump
from apps.orchestration.rows import PUBLIC_STATUS, STORED_PRIORITY, run_view
from apps.orchestration.selectors import get_run
from apps.orchestration.services import starting
from apps.orchestration.types.histories import Reported
from apps.orchestration.types.runs import EventType, Priority, RunStatus, RunView
from octavo.kernel import ids, sql
from octavo.kernel.errors import Conflict, InvalidInput
from octavo.kernel.scope import Scope

MOST_EVENTS = 200
TYPES = reporting.TYPES
_CANCEL_GRACE = 60
_BATCH = 200
_ALONE: Mapping[str, Any] = {
    "parent_id": None,
    "parent_key": "",
    "depth": 0,
    "retry_of": None,
    "priority": STORED_PRIORITY[Priority.NORMAL],
}
_FINAL = {
    EventType.RUN_SUCCEEDED: RunStatus.SUCCEEDED,
    EventType.RUN_FAILED: RunStatus.FAILED,
    EventType.RUN_CANCELLED: RunStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One event as the loop outside tells it; `types.EventType` shapes what is kept of it."""

    step_key: str
    type: EventType
    data: Mapping[str, Any]


def open_run(
    *,
    scope: Scope,
    agent: str,
    input: str | dict[str, Any],
    version: int | None = None,
    session: str = "",
    metadata: Mapping[str, Any] | None = None,
    traceparent: str = "",
    tags: Sequence[str] = (),
) -> RunView:
    """A running run that only its reports move. Raises as `starting.start_run` does."""
    starting.check_request(input, None, metadata, tags)
    found = agents.get_agent_unchecked(scope=scope, name=agent, version=version)
    run_id = ids.new()
    resource = Resource(kind=ResourceKind.AGENT, id=found.id, name=found.name)
    asking = replace(scope, run_id=run_id)
    decisions.check(scope=asking, action=Action.RUN_START, resource=resource)
    row = {
        **_ALONE,
        "id": run_id,
        "root_id": run_id,
        "strategy": "external",
        "input": journal.as_json(input),
        "session": session,
        "metadata": journal.as_json(dict(metadata or {})),
        "traceparent": traceparent,
        "route": found.definition.route,
        "tags": list(tags),
    }
    with transaction.atomic():
        noted = {"external": True}
        starting.write_run(scope, found, row, input, None, noted=noted, is_queued=False)
        sql.run(statements.OPEN_OUTSIDE, id=run_id)
    return run_view(Run.objects.get(id=run_id))


def report(*, scope: Scope, run_id: UUID, reports: Sequence[Report]) -> Reported:
    """Append what is new, in order; all of it or nothing.

    For the run's starter, and whoever may control it. Raises `InvalidInput` with paths, and
    `Conflict` where a step was reported otherwise before, or the run is over.
    """
    run = _reportable(scope, run_id)
    if not 0 < len(reports) <= MOST_EVENTS:
        detail = f"send 1 to {MOST_EVENTS} events at once."
        raise InvalidInput(detail, errors=[{"path": "/events", "detail": detail}])
    with transaction.atomic():
        rows = sql.run(statements.HEAR, id=run_id)
        known = _known(run_id, reports)
        fresh = [
            (index, one)
            for index, one in enumerate(reports)
            if not _is_known(known, one, f"/events/{index}")
        ]
        if fresh and not rows:
            status = Run.objects.values_list("status", flat=True).get(id=run_id)
            raise Conflict(
                f"The run is {PUBLIC_STATUS[status]} already, so nothing can be added to it. Start "
                "another one.",
                head=str(PUBLIC_STATUS[status]),
            )
        if rows:
            _append(run, _head(rows[0]), fresh)
    return Reported(
        run=get_run(scope=scope, run_id=run_id),
        accepted=len(fresh),
        repeated=len(reports) - len(fresh),
    )


def _reportable(scope: Scope, run_id: UUID) -> Run:
    view = get_run(scope=scope, run_id=run_id)
    if not view.is_external:
        raise Conflict(
            "Octavo drives this run itself, so nobody else writes its journal. Start one with "
            '`"external": true`.',
            head=view.status.value,
        )
    row = Run.objects.get(id=run_id)
    if row.starter_id != scope.principal.id:
        resource = Resource(kind=ResourceKind.RUN, id=run_id, name=ids.encode(ids.Kind.RUN, run_id))
        decisions.check(scope=scope, action=Action.RUN_CONTROL, resource=resource)
    return row


_Key = tuple[str, str]


def _key(step: str, kind: EventType) -> _Key:
    """What may be there once: the end of a run, the result of a step, a note."""
    if kind in _FINAL:
        return "", "end"
    return step, "note" if kind is EventType.NOTE else "result"


def _known(run_id: UUID, reports: Sequence[Report]) -> dict[_Key, tuple[int, str]]:
    """What is there already of these steps: the event's number, and what it was made of."""
    steps = ["", *{one.step_key for one in reports}]
    rows = sql.run(statements.FIND_REPORTED, id=run_id, steps=steps)
    return {_key(step, EventType(kind)): (seq, digest or "") for step, kind, seq, digest in rows}


def _is_known(known: dict[_Key, tuple[int, str]], one: Report, path: str) -> bool:
    """Whether it was reported before. Raises `Conflict` when it was something else then."""
    if not one.step_key and one.type not in _FINAL:
        detail = "name the step, so that the event can be told from others."
        raise InvalidInput(detail, errors=[{"path": f"{path}/step_key", "detail": detail}])
    key, digest = _key(one.step_key, one.type), _digest(one)
    if key not in known:
        known[key] = (0, digest)
        return False
    seq, before = known[key]
    if before == digest:
        return True
    recorded = f"event {seq} of its journal" if seq else "an event before it in this request"
    raise Conflict(
        f"{path}: {one.type} of step {one.step_key!r} was reported before with other content: "
        f"{recorded}. Use a step_key of its own for each thing that happened.",
        head=str(seq),
        recorded=seq,
    )


def _digest(one: Report) -> str:
    return hashlib.sha256(dump([one.type, dict(one.data)])).hexdigest()[:32]


def _head(row: Sequence[Any]) -> Head:
    fence, next_seq, read_seq, mail_seq, cancel_requested, now = row[:6]
    return Head(
        fence=fence,
        next_seq=next_seq,
        seen_mail=read_seq,
        mail_seq=mail_seq,
        cancel_requested=cancel_requested,
        now=now,
    )


def _append(run: Run, head: Head, fresh: Sequence[tuple[int, Report]]) -> None:
    for position, (index, one) in enumerate(fresh):
        path = f"/events/{index}/data"
        status = _FINAL.get(one.type)
        if status is None:
            draft = reporting.draft_of(one.type, one.step_key, one.data, path=path)
            digest = {**draft.data, "digest": _digest(one)}
            journal.append(run.id, head, replace(draft, data=digest))
            continue
        if position + 1 < len(fresh):
            detail = f"{one.type} ends the run, so nothing may follow it."
            raise InvalidInput(detail, errors=[{"path": f"/events/{index}", "detail": detail}])
        output, error = reporting.ending_of(one.type, one.data, path=path)
        journal.finish(
            run.id, head, status=status, output=output, error=error, noted={"digest": _digest(one)}
        )
        transaction.on_commit(partial(metrics.count_finished_run, status=status))


@transaction.atomic
def end_silent() -> int:
    """End runs that nobody reports any more, that are over their deadline, or that were cancelled
    without their loop's saying so; how many.
    """
    idle = settings.EXTERNAL_IDLE_SECONDS
    rows = sql.run(statements.TAKE_SILENT, idle=idle, grace=_CANCEL_GRACE, limit=_BATCH)
    for run_id, *head, is_late in rows:
        where = _head(head)
        status, error = RunStatus.CANCELLED, None
        if not where.cancel_requested:
            code = "deadline" if is_late else "abandoned"
            status, error = RunStatus.FAILED, {"code": code, "detail": _why(code, idle)}
        journal.finish(run_id, where, status=status, error=error)
        transaction.on_commit(partial(metrics.count_finished_run, status=status))
    return len(rows)


def _why(code: str, idle: int) -> str:
    if code == "deadline":
        return "The run reached its deadline. Raise limits.deadline_seconds, or ask for less."
    return (
        f"The loop outside reported nothing for {idle} s. Report a note now and then while it "
        "works, or raise OCTAVO_EXTERNAL_IDLE_SECONDS."
    )
