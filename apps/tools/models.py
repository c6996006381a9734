"""The effect ledger: an unsafe call leaves its intent behind before it happens."""

from django.db import models
from django.db.models.functions import Now

from apps.tools.types import EffectState


class Effect(models.Model):
    """One unsafe call of one step. `unknown` is never repeated without a person's word."""

    run_id = models.UUIDField()
    step = models.TextField()
    tool = models.TextField()
    idempotency_key = models.TextField()
    state = models.TextField(choices=[(state.value, state.value) for state in EffectState])
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "effect"
        constraints = [
            models.UniqueConstraint(fields=["run_id", "step"], name="effect_once_per_step"),
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in EffectState]),
                name="effect_state_known",
            ),
        ]
