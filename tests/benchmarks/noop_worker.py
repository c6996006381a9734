"""A worker whose runs take ten steps of 200 bytes that do nothing: what is left is the journal.

Everything else is Octavo's own: outbox, relay, Celery, claim, fold, append, finish.
"""

from uuid import UUID

from workers import app, running  # sets Django up, so it comes first

# isort: split
from apps.orchestration import activation, journal, leases
from apps.orchestration.records import Draft
from apps.orchestration.types.runs import EventType, RunStatus

STEPS = 10
PAYLOAD = {"r": "x" * 200}

app.loader.import_default_modules()


def advance(run_id: str | None = None) -> bool:
    hinted = UUID(run_id) if run_id else None
    had_hint, claimed = journal.claim_turn(hinted=hinted, owner=leases.OWNER)
    if claimed is None:
        return had_hint
    run, head = claimed
    with leases.hold(run.id, head.fence) as lease:
        active = activation.load(run, head, lease)
        take_steps(active, STEPS)
        journal.finish(run.id, active.head, status=RunStatus.SUCCEEDED, output=PAYLOAD)
    return had_hint


def take_steps(active: activation.Activation, steps: int) -> None:
    for number in range(steps):
        draft = Draft(
            type=EventType.MAIL_RECEIVED,
            step=f"noop.{number}",
            data=PAYLOAD,
            is_step=True,
            input_tokens=10,
        )
        active.record(draft)


running.work = advance
