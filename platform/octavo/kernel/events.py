"""How a lower layer tells an upper one: an event becomes one outbox job per subscriber.

The jobs are written in the emitter's transaction. Upper layers subscribe in `AppConfig.ready()`;
nothing is called in-process.
"""

from collections import defaultdict
from datetime import timedelta

from octavo.kernel import jobs

_AT_ONCE = timedelta(0)
_subscribers: dict[str, list[str]] = defaultdict(list)


def subscribe(event: str, *, job: str) -> None:
    """Run `job` with the event's arguments whenever `event` is emitted and committed."""
    if job not in _subscribers[event]:
        _subscribers[event].append(job)


def emit(event: str, **arguments: jobs.Argument) -> None:
    """Promise delivery to every subscriber if and only if the caller's transaction commits."""
    for job in _subscribers[event]:
        jobs.enqueue(job, delay=_AT_ONCE, **arguments)


def subscribed_jobs() -> frozenset[str]:
    return frozenset(job for jobs_of_event in _subscribers.values() for job in jobs_of_event)
