"""When the route `embedding` is pointed at another model, spaces follow it in the background: a
batch after the other, while searches go on with the words and with what is renewed already.
"""

import logging
from uuid import UUID

import redis
from django.db import connection, transaction

from apps.accounts import selectors as accounts
from apps.context import embeddings, reembedding
from apps.context.models import Space
from octavo.kernel import jobs
from octavo.kernel.errors import OctavoError, Unavailable
from octavo.kernel.redis import client

log = logging.getLogger(__name__)

JOB = "context.reembed"
_SHARE_SECONDS = 30.0
_MARK_SECONDS = 180

# The index knows the model of each live chunk; one without text has none.
_OUTDATED = """
SELECT s.id FROM space AS s
WHERE s.project_id = %(project)s AND EXISTS (
  SELECT FROM chunk AS c WHERE c.space_id = s.id AND c.died IS NULL
    AND (c.model_id < %(model)s OR c.model_id > %(model)s))
ORDER BY s.id
"""


def send_due() -> int:
    """Send a job for each space with vectors of a model that its project no longer uses, unless one
    is under way; how many were sent. Cheap where there is none.
    """
    sent = 0
    for project_id in Space.objects.values_list("project_id", flat=True).distinct():
        for space_id in _outdated(project_id):
            sent += _send(space_id)
    return sent


def renew_space(*, space_id: str) -> None:
    """Renew for a while, then make room for other work and go on with a further job.

    While no model answers, nothing is sent: `send_due` comes back to it.
    """
    place = Space.objects.filter(id=space_id).first()
    if place is None:
        return
    scope = accounts.system_scope(project_id=place.project_id)
    try:
        renewed = reembedding.renew(scope=scope, space=place, seconds=_SHARE_SECONDS)
    except Unavailable as error:
        log.warning("The vectors of %r wait for a model: %s", place.name, error)
        return
    log.info("%d chunks of %r have vectors of another model.", renewed, place.name)
    _clear(place.id)
    if place.id in _outdated(place.project_id):
        _send(place.id)


def _outdated(project_id: UUID) -> list[UUID]:
    """None where the project has no model to go to."""
    try:
        model_id = embeddings.active_model(scope=accounts.system_scope(project_id=project_id))
    except OctavoError:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_OUTDATED, {"project": project_id, "model": model_id})
        return [space_id for (space_id,) in cursor.fetchall()]


@transaction.atomic
def _send(space_id: UUID) -> bool:
    if not _mark(space_id):
        return False
    jobs.enqueue(JOB, space_id=str(space_id))
    return True


def _mark(space_id: UUID) -> bool:
    """Whether nobody has sent it lately. Without Redis it is done twice, which harms nothing."""
    try:
        return bool(client().set(_key(space_id), b"1", nx=True, ex=_MARK_SECONDS))
    except redis.RedisError:
        return True


def _clear(space_id: UUID) -> None:
    try:
        client().delete(_key(space_id))
    except redis.RedisError as error:
        log.warning("Redis kept a mark (%s); the rest goes on in %d s.", error, _MARK_SECONDS)


def _key(space_id: UUID) -> str:
    return f"octavo:reembed:{space_id}"
