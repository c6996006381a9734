"""The same `Idempotency-Key` gets the same answer: a retried create never creates twice."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from octavo.kernel.errors import Conflict
from octavo.kernel.models import IdempotencyKey
from octavo.kernel.scope import Scope

_KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes


def claim(*, scope: Scope, key: str, fingerprint: bytes) -> Answer | None:
    """The stored answer, or None when the caller should now do the work and `complete` it.

    Claim, work and completion belong in one transaction: a second request waits here for its end,
    and a process that dies leaves no claim. Raises `Conflict` when the key was used for another
    request.
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
        raise Conflict(
            f"The first request with Idempotency-Key {key!r} is still under way. Retry in a moment."
        )
    return Answer(status=row.status, body=bytes(row.body or b""))


def complete(*, scope: Scope, key: str, answer: Answer) -> None:
    IdempotencyKey.objects.filter(
        project_id=scope.project_id, principal_id=scope.principal.id, key=key
    ).update(status=answer.status, body=answer.body)


def abandon(*, scope: Scope, key: str) -> None:
    """Forget a key whose request failed before it changed anything, so that it can be retried."""
    IdempotencyKey.objects.filter(
        project_id=scope.project_id, principal_id=scope.principal.id, key=key, status=None
    ).delete()


def prune() -> int:
    """Forget answers older than a day, of the whole installation. How many there were."""
    return IdempotencyKey.objects.filter(created_at__lt=Now() - _KEPT_FOR).delete()[0]
