"""The outbox (work promised in a transaction), kept events (told once, never lost) and idempotency
keys (answers already given).
"""

from django.db import models
from django.db.models.functions import Now


class Outbox(models.Model):
    """One wake-up hint. The relay deletes it and publishes it in one transaction."""

    id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    args = models.JSONField()
    available_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "outbox"
        indexes = [models.Index(fields=["available_at", "id"], name="outbox_due")]


class KeptEvent(models.Model):
    """An event that waits for its one subscriber, who deletes it with what it makes of it."""

    id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    args = models.JSONField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "kept_event"


class IdempotencyKey(models.Model):
    """The answer given to the first request that carried this key."""

    principal_id = models.UUIDField()
    project_id = models.UUIDField()
    key = models.TextField()
    fingerprint = models.BinaryField()
    status = models.PositiveSmallIntegerField(null=True)
    body = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "idempotency_key"
        constraints = [
            models.UniqueConstraint(
                fields=["project_id", "principal_id", "key"], name="idempotency_key_once"
            )
        ]
