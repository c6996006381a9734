"""What people and other layers do to a run under way: cancel it, answer it, wake it.

Everything arrives as mail: it is kept, read once, and wakes a run that waits.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.governance import selectors as governance
from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.orchestration import children, inbox, leases
from apps.orchestration.models import Run
from apps.orchestration.records import dump
from apps.orchestration.selectors import get_run
from apps.orchestration.steps.doubting import HAPPENED, NOT_HAPPENED
from apps.orchestration.types.runs import RunStatus, RunView
from octavo.kernel import audit, ids, redis
from octavo.kernel.errors import Conflict, InvalidInput
from octavo.kernel.scope import Scope

_LONGEST_NAME = 200
_MOST_PAYLOAD_BYTES = 100_000

CANCEL_CHANNEL = "octavo:cancel"
"""Redis channel that tells workers to look at once whether a run of theirs was cancelled."""


def cancel_run(*, scope: Scope, run_id: UUID) -> RunView:
    """Ask the run to end; a live model call is cut off. Idempotent while the run lives.

    Raises `Conflict` when it has ended otherwise already.
    """
    run = _controlled(scope, run_id)
    if run.status is RunStatus.CANCELLED:
        return run
    if run.status.is_final:
        raise Conflict(f"The run has {run.status} already.", head=run.status.value)
    with transaction.atomic():
        asked = inbox.deliver(run_id, kind="cancel", body={}, dedupe_key="cancel")
        if asked:
            _audit(scope, run_id, {"control": "cancel"})
            transaction.on_commit(lambda: redis.publish(CANCEL_CHANNEL, b"1"))
            transaction.on_commit(lambda: leases.cancel(run_id))
    return get_run(scope=scope, run_id=run_id)


def resolve_effect(
    *, scope: Scope, run_id: UUID, step: str, outcome: str, result: str = ""
) -> RunView:
    """Say whether a call that was cut off `happened` (with `result`) or `not_happened`.

    Raises `Conflict` unless the run waits for exactly that.
    """
    if outcome not in {HAPPENED, NOT_HAPPENED}:
        raise InvalidInput(
            f"The outcome is {outcome!r}; it must be {HAPPENED!r} or {NOT_HAPPENED!r}.",
            errors=[{"path": "/outcome", "detail": f"{HAPPENED} or {NOT_HAPPENED}"}],
        )
    run = _controlled(scope, run_id)
    waiting = run.waiting_on
    if waiting is None or (waiting.kind, waiting.id) != ("effect", step):
        raise Conflict(f"The run does not wait for the effect of {step!r}.", head=run.status.value)
    body = {"step": step, "outcome": outcome, "result": result, "by": scope.principal.name}
    key = f"effect:{step}:{waiting.since.isoformat()}"
    with transaction.atomic():
        if inbox.deliver(run_id, kind="effect", body=body, dedupe_key=key):
            _audit(scope, run_id, {"control": "resolve_effect", "step": step, "outcome": outcome})
    return get_run(scope=scope, run_id=run_id)


def pause_run(*, scope: Scope, run_id: UUID) -> RunView:
    """Hold the run after its present step, until `resume_run`. Idempotent.

    Raises `Conflict` when the run is over.
    """
    return _hold(scope, run_id, kind="pause")


def resume_run(*, scope: Scope, run_id: UUID) -> RunView:
    """Let a paused run go on. Idempotent. Raises `Conflict` when the run is over."""
    return _hold(scope, run_id, kind="resume")


def _hold(scope: Scope, run_id: UUID, *, kind: str) -> RunView:
    run = _controlled(scope, run_id)
    if run.status.is_final:
        raise Conflict(f"The run has {run.status} already.", head=run.status.value)
    if run.is_external:
        raise Conflict(
            "The loop of this run is outside of Octavo, which cannot hold it. Pause it there, or "
            "cancel the run: the next report is told so.",
            head=run.status.value,
        )
    with transaction.atomic():
        body = {"by": scope.principal.name}
        if inbox.deliver(run_id, kind=kind, body=body, dedupe_key=f"{kind}:{ids.new()}"):
            _audit(scope, run_id, {"control": kind})
    return get_run(scope=scope, run_id=run_id)


def signal_run(*, scope: Scope, run_id: UUID, name: str, payload: Any = None) -> RunView:
    """Send the run a signal, which it keeps until it asks for one of this name (`await_signal`).

    Raises `Conflict` when the run is over.
    """
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidInput(
            f"A signal needs a name of 1 to {_LONGEST_NAME} characters.",
            errors=[{"path": "/name", "detail": f"use 1 to {_LONGEST_NAME} characters."}],
        )
    if len(dump(payload)) > _MOST_PAYLOAD_BYTES:
        detail = f"use at most {_MOST_PAYLOAD_BYTES} bytes; put long texts into a space."
        raise InvalidInput(
            "The payload is too large.", errors=[{"path": "/payload", "detail": detail}]
        )
    run = _controlled(scope, run_id)
    if run.status.is_final:
        raise Conflict(f"The run has {run.status} already.", head=run.status.value)
    body = {"name": name, "payload": payload, "by": scope.principal.name}
    with transaction.atomic():
        if inbox.deliver(run_id, kind="signal", body=body, dedupe_key=f"signal:{ids.new()}"):
            _audit(scope, run_id, {"control": "signal", "name": name})
    return get_run(scope=scope, run_id=run_id)


def give_input(*, scope: Scope, run_id: UUID, content: str) -> RunView:
    """Answer the question that the run waits with. Raises `Conflict` unless it waits for input."""
    if not content.strip():
        raise InvalidInput(
            "The answer is empty.", errors=[{"path": "/content", "detail": "say something."}]
        )
    run = _controlled(scope, run_id)
    waiting = run.waiting_on
    if waiting is None or waiting.kind != "input":
        raise Conflict("The run does not wait for anybody's input.", head=run.status.value)
    body = {"step": waiting.id, "content": content, "by": scope.principal.name}
    with transaction.atomic():
        if inbox.deliver(run_id, kind="input", body=body, dedupe_key=f"input:{waiting.id}"):
            _audit(scope, run_id, {"control": "input", "step": waiting.id})
    return get_run(scope=scope, run_id=run_id)


def on_approval_decided(*, approval_id: str, run_id: str) -> None:
    """Wake the run that asked. The verdict itself is read from governance, not from this mail."""
    inbox.deliver(
        UUID(run_id),
        kind="approval",
        body={"approval_id": approval_id},
        dedupe_key=f"approval:{approval_id}",
    )


def on_run_ended(*, run_id: str) -> None:
    """Ask what an ended run has started, and what still lives, to end."""
    children.cancel_children(UUID(run_id))


def redeliver_approval(*, run_id: UUID, approval: str) -> bool:
    """Wake the run now if this approval (its public id) is decided; whether it is."""
    approval_id = ids.decode(ids.Kind.APPROVAL, approval)
    decided = bool(governance.list_decided(approval_ids=[approval_id]))
    if decided:
        on_approval_decided(approval_id=str(approval_id), run_id=str(run_id))
    return decided


def redeliver_approvals(*, limit: int = 1000) -> int:
    """Wake runs whose approval was decided but whose job was lost with Redis; how many."""
    waiting = Run.objects.filter(status="waiting", waiting_on__kind="approval")
    rows = waiting.order_by("id").values_list("id", "waiting_on__id")[:limit]
    asked = {ids.decode(ids.Kind.APPROVAL, approval): run_id for run_id, approval in rows}
    decided = governance.list_decided(approval_ids=list(asked))
    for approval_id in decided:
        on_approval_decided(approval_id=str(approval_id), run_id=str(asked[approval_id]))
    return len(decided)


def _controlled(scope: Scope, run_id: UUID) -> RunView:
    run = get_run(scope=scope, run_id=run_id)
    check_control(scope=scope, run_id=run_id)
    return run


def check_control(*, scope: Scope, run_id: UUID) -> None:
    """Raises `Forbidden` for who may not control the run."""
    resource = Resource(kind=ResourceKind.RUN, id=run_id, name=ids.encode(ids.Kind.RUN, run_id))
    decisions.check(scope=scope, action=Action.RUN_CONTROL, resource=resource)


def _audit(scope: Scope, run_id: UUID, payload: Mapping[str, Any]) -> None:
    audit.record(
        scope=scope,
        action=Action.RUN_CONTROL,
        target=ids.encode(ids.Kind.RUN, run_id),
        payload=payload,
    )
