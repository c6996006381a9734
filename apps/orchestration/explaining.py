"""Why a run stands where it does, from its row and what it waits for: facts, never guesses."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from apps.governance import selectors as governance
from apps.orchestration import workers
from apps.orchestration.models import ConcurrencyLimit, Event, Run
from apps.orchestration.rows import PAUSE
from apps.orchestration.types.runs import EventType
from apps.orchestration.types.serving import Explanation
from octavo.kernel import clock, ids
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_DEEPEST = 8
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def explain(scope: Scope, row: Run, *, depth: int = 0) -> Explanation:
    match row.status:
        case "ready":
            return _ready(row)
        case "running":
            return _running(row)
        case "waiting":
            return _waiting(scope, row, depth)
        case "quarantined":
            return _quarantined(row)
        case _:
            return _ended(row)


def _ready(row: Run) -> Explanation:
    now = clock.now()
    since = _ago(row.rank + row.priority * timedelta(minutes=10), now)
    if row.slot_wait is not None:
        return _for_slot(row, row.slot_wait)
    if row.hinted_at > now and row.crashes:
        return Explanation(
            code="backoff",
            summary=f"tried {row.crashes} times without success; again in "
            f"{_length(row.hinted_at - now)}",
            next_step="The worker's log says what went wrong. After three times it is set aside.",
        )
    seen = workers.list_seen()
    if not any(worker.is_alive for worker in seen):
        last = f"since {_ago(seen[0].seen_at, now)} ago" if seen else "at all"
        return Explanation(
            code="no_worker",
            summary=f"queued for {since}: no worker of the queue runs has been seen {last}",
            next_step="Start a worker: `make up` does, and so does `docker compose up worker`.",
        )
    ready = Run.objects.filter(project_id=row.project_id, status="ready", slot_wait__isnull=True)
    before = ready.filter(rank__lt=row.rank).count()
    return Explanation(
        code="queued",
        summary=f"queued for {since}; "
        + (f"{before} more of its project go first" if before else "it is next in its project"),
        next_step="Add workers, or raise OCTAVO_WORKER_THREADS, if this takes too long."
        if before
        else "",
    )


def _for_slot(row: Run, limit_id: UUID) -> Explanation:
    limit = ConcurrencyLimit.objects.filter(id=limit_id).first()
    if limit is None:
        return Explanation(
            code="slot", summary="goes on in a moment: its limit is gone", next_step=""
        )
    whose = f"{limit.kind} {limit.target}" if limit.target else "this project"
    return Explanation(
        code="slot",
        summary=f"waits for a free slot: {whose} may run {limit.most} at once",
        next_step="It starts by itself when one of them ends. To let more run at once, raise the "
        "limit with `PUT /api/v1/runs/limits`.",
    )


def _running(row: Run) -> Explanation:
    now = clock.now()
    last = Event.objects.filter(run_id=row.id).order_by("-seq").first()
    done = f"its last event, {_name(last)}, was {_ago(last.at, now)} ago" if last else "it begins"
    renewed = (row.lease_until or now) - timedelta(seconds=settings.LEASE_SECONDS)
    if row.lease_until is not None and row.lease_until < now:
        return Explanation(
            code="lease_lost",
            summary=f"{row.owner} has not renewed its lease for {_ago(renewed, now)}; {done}",
            next_step="Another worker takes the run over within seconds. If none does, look at the "
            "workers on the page Queue.",
        )
    return Explanation(
        code="running",
        summary=f"runs on {row.owner}; {done}; the lease was renewed {_ago(renewed, now)} ago",
        next_step="",
    )


def _name(event: Event) -> str:
    kind = event.type.replace("_", " ")
    return f"{kind} ({event.step})" if event.step else kind


def _waiting(scope: Scope, row: Run, depth: int) -> Explanation:
    waiting = row.waiting_on or {"kind": "", "id": "", "since": clock.now().isoformat()}
    kind, now = waiting["kind"], clock.now()
    since = f"for {_ago(datetime.fromisoformat(waiting['since']), now)}"
    if kind == PAUSE:
        return Explanation(
            code="paused", summary=f"paused {since}", next_step="Resume it when it may go on."
        )
    if kind == "run":
        return _for_run(scope, row, waiting["id"], since, depth)
    if kind == "approval":
        return _for_approval(scope, waiting["id"], since)
    if kind in _WAITS:
        summary, step = _WAITS[kind](row, waiting["id"])
        until = waiting.get("until")
        left = f", {_length(datetime.fromisoformat(until) - now)} to go" if until else ""
        return Explanation(code=kind, summary=f"{summary} {since}{left}", next_step=step)
    return Explanation(code=kind, summary=f"waits for {kind} {waiting['id']} {since}", next_step="")


def _for_approval(scope: Scope, name: str, since: str) -> Explanation:
    try:
        approval = governance.get_approval(
            scope=scope, approval_id=ids.decode(ids.Kind.APPROVAL, name)
        )
    except NotFound:
        return Explanation(code="approval", summary=f"waits for approval {name}", next_step="")
    now = clock.now()
    return Explanation(
        code="approval",
        summary=f"waits {since} for approval {name} of {approval.tool}, asked "
        f"{_ago(approval.requested_at, now)} ago, expires in {_length(approval.expires_at - now)}",
        next_step="Somebody other than the asker approves or refuses it on the page Approvals.",
    )


def _for_run(scope: Scope, row: Run, name: str, since: str, depth: int) -> Explanation:
    summary, step = f"waits {since} for its child {name}", ""
    child = _find_run(row.project_id, name) if depth < _DEEPEST else None
    if child is not None:
        behind = explain(scope, child, depth=depth + 1)
        summary, step = f"{summary}, which {behind.summary}", behind.next_step
    return Explanation(code="run", summary=summary, next_step=step)


def _find_run(project_id: UUID, name: str) -> Run | None:
    try:
        run_id = ids.decode(ids.Kind.RUN, name)
    except NotFound:
        return None
    return Run.objects.filter(id=run_id, project_id=project_id).first()


def _for_input(row: Run, step: str) -> tuple[str, str]:
    asked = Event.objects.filter(run_id=row.id, step=step, type=EventType.INPUT_REQUESTED).first()
    question = f": {asked.data['question'][:200]!r}" if asked else ""
    return f"waits for a person's answer{question}", "Answer it on the run's page."


_WAITS: dict[str, Callable[[Run, str], tuple[str, str]]] = {
    "input": _for_input,
    "timer": lambda row, step: ("waits for the clock", ""),
    "signal": lambda row, name: (
        f"waits for the signal {name!r}",
        "Send it with `POST /api/v1/runs/{id}/signal`.",
    ),
    "effect": lambda row, step: (
        f"cannot know whether {step} happened, because its worker was lost during the call",
        "Look at the far side, then say on the run's page whether it happened.",
    ),
}


def _quarantined(row: Run) -> Explanation:
    detail = (row.error or {}).get("detail", "")
    return Explanation(
        code="quarantined",
        summary=f"set aside after {row.crashes} crashes at event {row.next_seq - 2}: {detail}",
        next_step="When the cause is mended, resume it where it stood, or retry it as a new run.",
    )


def _ended(row: Run) -> Explanation:
    summary = {"done": "succeeded", "cancelled": "was cancelled"}.get(row.status, "failed")
    if row.status == "failed" and row.error:
        summary = f"failed with {row.error['code']}: {row.error['detail']}"
    again = row.status != "done" and row.agent_name
    return Explanation(
        code="ended", summary=summary, next_step="Retry it as a new run." if again else ""
    )


def _ago(then: datetime, now: datetime) -> str:
    return _length(now - then)


def _length(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"
