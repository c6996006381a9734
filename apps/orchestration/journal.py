"""The run's only writer while it is held: claim, append, park, finish, release.

Each function is one of the transitions in `statements`; their invariants are listed there.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import transaction

from apps.orchestration import live, readings, slots, statements, waits
from apps.orchestration.records import Draft, Ended, Fenced, Head, Letter, Record, RunFacts, dump
from apps.orchestration.types.runs import EventType, RunStatus
from apps.orchestration.waits import Wait
from octavo.kernel import sql
from octavo.kernel.scope import Principal, PrincipalKind

MOST_CRASHES = 3
_PAGE = 100_000

STORED_STATUS = {
    RunStatus.SUCCEEDED: "done",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "cancelled",
}
_FINAL_EVENT = {
    RunStatus.SUCCEEDED: EventType.RUN_SUCCEEDED,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
}


def as_json(value: Any) -> str | None:
    """JSON that PostgreSQL takes: `jsonb` has no NUL."""
    return None if value is None else dump(value).decode().replace("\\u0000", "\\ufffd")


def claim(*, run_id: UUID, owner: str) -> tuple[RunFacts, Head] | None:
    """Take the run, or None: someone else has it, or it waits or is over."""
    return _claimed(slots.claim(run_id=run_id, **_terms(owner)))


def claim_turn(*, hinted: UUID | None, owner: str) -> tuple[bool, tuple[RunFacts, Head] | None]:
    """Take the run whose turn it is on this hint, or without one on the next of the outbox.

    Whether there was a hint, and the run, or None where there is none to take.
    """
    had_hint, rows = slots.claim_turn(hinted, **_terms(owner))
    return had_hint, _claimed(rows)


def _terms(owner: str) -> dict[str, Any]:
    return {"owner": owner, "lease": settings.LEASE_SECONDS, "most_crashes": MOST_CRASHES}


def _claimed(rows: Sequence[tuple[Any, ...]]) -> tuple[RunFacts, Head] | None:
    if not rows:
        return None
    row = dict(zip(_CLAIMED, rows[0], strict=True))
    head = Head(**{name: row.pop(name) for name in _OF_HEAD}, seen_mail=row.pop("read_seq"))
    return _facts(row), head


_OF_HEAD = ("fence", "next_seq", "mail_seq", "cancel_requested", "crashes", "now")
_CLAIMED = (
    *("id", "organisation_id", "team_id", "project_id"),
    *("agent_id", "agent_name", "agent_version_id", "tool"),
    *("workflow_name", "workflow_version_id"),
    *("started_by", "starter_id", "starter_kind", "key_id", "key_scopes", "is_autonomous"),
    *("strategy", "input", "fence", "root_id", "parent_id", "parent_key", "depth"),
    *("forked_from", "given_route", "is_dry_run"),
    *("next_seq", "read_seq", "mail_seq", "cancel_requested", "crashes", "deadline_at", "now"),
)


def _facts(row: dict[str, Any]) -> RunFacts:
    kind, name, starter_id = (row.pop(key) for key in ("starter_kind", "started_by", "starter_id"))
    starter = Principal(kind=PrincipalKind(kind), id=starter_id, name=name) if kind else None
    scopes = from_json(row.pop("key_scopes")) or ("*",)
    given = from_json(row.pop("input"))
    return RunFacts(**row, starter=starter, key_scopes=tuple(scopes), input=given)


def begin_call(run: RunFacts, *, owner: str, given: Mapping[str, Any]) -> Head:
    """Write the run of one tool call, claimed by `owner` from its first moment.

    `given` holds session, metadata and traceparent.
    """
    assert run.starter is not None  # noqa: S101  a tool call has no other principal
    first = {"agent": None, "version": None, "strategy": "call", "tool": run.tool}
    rows = sql.run(
        statements.INSERT_CALL,
        id=run.id,
        organisation_id=run.organisation_id,
        team_id=run.team_id,
        project_id=run.project_id,
        tool=run.tool,
        owner=owner,
        lease=settings.LEASE_SECONDS,
        input=as_json(run.input),
        started_by=run.starter.name,
        starter_id=run.starter.id,
        starter_kind=run.starter.kind.value,
        key_id=run.key_id,
        key_scopes=as_json(list(run.key_scopes)),
        is_autonomous=run.is_autonomous,
        session=given["session"],
        metadata=as_json(given["metadata"]),
        traceparent=given["traceparent"],
        data=as_json({**first, "input": run.input}),
    )
    (now,) = rows[0]
    return Head(fence=1, next_seq=2, seen_mail=0, mail_seq=0, now=now)


def from_json(value: Any) -> Any:
    """Django leaves `jsonb` of raw statements as text."""
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def append(run_id: UUID, head: Head, draft: Draft) -> None:
    """Add one event and renew the lease. Raises `Fenced` without a trace when the lease is lost."""
    rows = sql.run(
        statements.APPEND,
        id=run_id,
        fence=head.fence,
        seq=head.next_seq,
        lease=settings.LEASE_SECONDS,
        read_seq=draft.read_mail,
        steps=int(draft.is_step),
        type=draft.type.value,
        step=draft.step,
        attempt=draft.attempt,
        took=draft.took,
        data=as_json(draft.data),
        hashes=[bytes.fromhex(name) for name in draft.blobs],
        bodies=list(draft.blobs.values()),
        input_tokens=draft.input_tokens,
        output_tokens=draft.output_tokens,
        cost_usd=draft.cost_usd,
    )
    if not rows:
        raise Fenced
    transaction.on_commit(partial(live.announce, run_id, head.next_seq))
    head.next_seq += 1
    head.cancel_requested, head.mail_seq, head.now = rows[0]


def finish(
    run_id: UUID,
    head: Head,
    *,
    status: RunStatus,
    output: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    noted: Mapping[str, Any] | None = None,
) -> Ended:
    """End the run and journal its end, at once. Raises `Fenced` when the lease is lost."""
    event = _FINAL_EVENT[status]
    rows = sql.run(
        statements.FINISH,
        id=run_id,
        fence=head.fence,
        seq=head.next_seq,
        status=STORED_STATUS[status],
        type=event.value,
        output=as_json(output),
        error=as_json(error),
        data=as_json(
            {**({"output": output} if output is not None else error or {}), **(noted or {})}
        ),
    )
    if not rows:
        raise Fenced
    transaction.on_commit(partial(live.announce, run_id, head.next_seq))
    head.next_seq += 1
    return Ended(status=status, output=output, error=error, at=rows[0][0])


def park(run_id: UUID, head: Head, for_: Sequence[Wait]) -> bool:
    """Wait without a worker, unless there is unread mail: then False, and nothing has changed."""
    reason = waits.shown(for_)
    waiting_on = {"kind": reason.kind, "id": reason.waits_for, "until": reason.until}
    timers = waits.timers(for_)
    parked = sql.run(
        statements.PARK,
        id=run_id,
        fence=head.fence,
        mail_seq=head.seen_mail,
        waiting_on=as_json(waiting_on),
        keys=[key for key, _ in timers],
        times=[fire_at for _, fire_at in timers],
    )
    if parked:
        live.announce(run_id, head.next_seq - 1)
    else:
        look(run_id, head)
    return bool(parked)


def look(run_id: UUID, head: Head) -> None:
    """See what mail there is, and the time. Raises `Fenced` unless the run is still held."""
    rows = sql.run(statements.LOOK, id=run_id, fence=head.fence)
    if not rows:
        raise Fenced
    head.cancel_requested, head.mail_seq, head.now = rows[0]


@transaction.atomic
def release(run_id: UUID, fence: int) -> bool:
    """Hand the run to the next worker without counting a crash; False when it was lost already."""
    released = sql.run(statements.RELEASE, id=run_id, fence=fence)
    if released:
        slots.hint([run_id])
    return bool(released)


def heartbeat(held: Sequence[tuple[UUID, int]]) -> dict[UUID, bool]:
    """Renew the leases; for each run still held, whether its cancellation was asked for."""
    rows = sql.run(
        statements.HEARTBEAT,
        lease=settings.LEASE_SECONDS,
        ids=[run_id for run_id, _ in held],
        fences=[fence for _, fence in held],
    )
    return dict(rows)


def read_events(run_id: UUID, *, after: int = 0, limit: int = _PAGE) -> list[Record]:
    rows = sql.run(readings.READ_EVENTS, id=run_id, after=after, limit=limit)
    return [_record(*row) for row in rows]


def _record(seq: int, kind: str, step: str, attempt: int, *rest: Any) -> Record:
    started_at, at, data, input_tokens, output_tokens, cost_usd = rest
    return Record(
        seq=seq,
        type=EventType(kind),
        step=step,
        attempt=attempt,
        started_at=started_at,
        at=at,
        data=from_json(data),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost_usd,
    )


def read_blobs(organisation_id: UUID, names: Sequence[str]) -> dict[str, Any]:
    """The content behind each name."""
    if not names:
        return {}
    rows = sql.run(
        readings.READ_BLOBS,
        organisation_id=organisation_id,
        hashes=[bytes.fromhex(name) for name in names],
    )
    return {bytes(sha).hex(): orjson.loads(bytes(body)) for sha, body in rows}


def read_mail(run_id: UUID, *, after: int) -> list[Letter]:
    rows = sql.run(readings.READ_MAIL, id=run_id, after=after)
    return [Letter(seq=seq, kind=kind, body=from_json(body)) for seq, kind, body in rows]
