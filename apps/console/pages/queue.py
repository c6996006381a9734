"""How the queue of runs stands: what waits and for how long, who works, what is late."""

from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from apps.console import formatting, web
from apps.orchestration import selectors as runs
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.serving import RunsHealth
from octavo.kernel import clock
from octavo.kernel.scope import Scope

_ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.QUARANTINED)
_LATE = timedelta(minutes=3)
_DAILY = ("spent keys", "spent sign-ins")


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    health = runs.get_health(scope=scope)
    recent = health.last_hour
    shown = {
        "health": health,
        "states": [(name.title(), name, state) for name, state in health.states.items()],
        "began": sum(recent.values()),
        "ended": sum(recent.get(status, 0) for status in _ENDED),
        "failed": recent.get(RunStatus.FAILED, 0),
        "outbox_oldest": formatting.duration(timedelta(seconds=health.outbox_oldest_seconds)),
        "duties": _duties(health),
        "limits": runs.list_limits(scope=scope),
        "has_worker": any(worker.is_alive for worker in health.workers),
    }
    return web.render(request, scope, "queue", shown)


def _duties(health: RunsHealth) -> list[tuple[str, datetime, bool]]:
    """Each duty with the last time that any worker did it, and whether that is long ago."""
    last: dict[str, datetime] = {}
    for worker in health.workers:
        for name, at in worker.duties.items():
            last[name] = max(at, last.get(name, at))
    soon = clock.now() - _LATE
    return [(name, at, at < soon and name not in _DAILY) for name, at in sorted(last.items())]
