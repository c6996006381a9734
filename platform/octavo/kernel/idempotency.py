"""The same `Idempotency-Key` gets the same answer: a retried create never creates twice."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction

from octavo.kernel.clock import now
from octavo.kernel.errors import Conflict
from octavo.kernel.models import IdempotencyKey
from octavo.kernel.scope import Scope

ABANDONED_AFTER = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes


def claim(*, scope: Scope, key: str, fingerprint: bytes) -> Answer | None:
    """The stored answer, or None when the caller should now do the work and `complete` it.

    Raises `Conflict` when the key was used for another request, or its first request still runs.
    """
    owner = {"project_id": scope.project_id, "principal_id": scope.principal.id, "key": key}
    try:
        with transaction.atomic():
            IdempotencyKey.objects.create(**owner, fingerprint=fingerprint)
        return None
    except IntegrityError:
        row = IdempotencyKey.objects.filter(**owner).first()
    if row is None:  # its first request failed and was forgotten just now
        return claim(scope=scope, key=key, fingerprint=fingerprint)
    if bytes(row.fingerprint) != fingerprint:
        raise Conflict(f"Idempotency-Key {key!r} was used for a different request. Send a new key.")
    if row.status is None:
        _take_over(row, key)
        return None
    return Answer(status=row.status, body=bytes(row.body or b""))


def _take_over(row: IdempotencyKey, key: str) -> None:
    stale = IdempotencyKey.objects.filter(
        pk=row.pk, status=None, created_at__lt=now() - ABANDONED_AFTER
    )
    if not stale.update(created_at=now()):
        raise Conflict(
            f"The first request with Idempotency-Key {key!r} is still under way. Retry in a moment."
        )


def complete(*, scope: Scope, key: str, answer: Answer) -> None:
    IdempotencyKey.objects.filter(
        project_id=scope.project_id, principal_id=scope.principal.id, key=key
    ).update(status=answer.status, body=answer.body)


def abandon(*, scope: Scope, key: str) -> None:
    """Forget a key whose request failed before it changed anything, so that it can be retried."""
    IdempotencyKey.objects.filter(
        project_id=scope.project_id, principal_id=scope.principal.id, key=key, status=None
    ).delete()
