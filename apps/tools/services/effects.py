"""The effect ledger: an unsafe call is written down before it happens, and again when it has."""

from uuid import UUID

from django.db.models.functions import Now

from apps.tools.models import Effect
from apps.tools.types import EffectState


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


def drop_effect(*, run_id: UUID, step: str) -> None:
    """Write down that the call certainly did not happen."""
    Effect.objects.filter(run_id=run_id, step=step, state=EffectState.INTENT).delete()


def doubt_effect(*, run_id: UUID, step: str) -> None:
    """Write down that nobody can tell whether the call happened."""
    _set_state(run_id=run_id, step=step, state=EffectState.UNKNOWN)


def _set_state(*, run_id: UUID, step: str, state: EffectState) -> None:
    Effect.objects.filter(run_id=run_id, step=step).update(state=state, changed_at=Now())
