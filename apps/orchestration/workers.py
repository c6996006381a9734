"""The processes that take runs, as they show themselves; one that stops showing itself is gone."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.functions import Now

from apps.orchestration.models import Worker
from apps.orchestration.types.serving import WorkerView
from octavo.kernel import clock

_ALIVE = timedelta(seconds=30)
_FORGOTTEN = timedelta(days=1)


def show(*, owner: str, held: int, duties: Mapping[str, str]) -> None:
    facts = {"held": held, "threads": settings.WORKER_THREADS, "duties": dict(duties)}
    Worker.objects.update_or_create(name=owner, defaults={**facts, "seen_at": Now()})
    Worker.objects.filter(seen_at__lt=clock.now() - _FORGOTTEN).delete()


def list_seen() -> list[WorkerView]:
    """Those of the last day, the last seen first."""
    since = clock.now() - _ALIVE
    return [
        WorkerView(
            name=row.name,
            held=row.held,
            threads=row.threads,
            started_at=row.started_at,
            seen_at=row.seen_at,
            is_alive=row.seen_at > since,
            duties={name: datetime.fromisoformat(at) for name, at in row.duties.items()},
        )
        for row in Worker.objects.order_by("-seen_at")
    ]
