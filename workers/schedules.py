"""What recurs: leases are renewed, the dead are found, timers fire. Each duty stands alone.

Every duty claims its rows by SKIP LOCKED or only deletes what expired, so all workers may run all
of them.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError, connections

from apps.accounts import services as accounts
from apps.context.services import ingestion, renewing, writing
from apps.governance.services import approvals, budgets
from apps.orchestration.services import (
    bulk,
    reacting,
    remembering,
    scheduling,
    triggers,
    upkeep,
)
from octavo.kernel import clock, idempotency

log = logging.getLogger(__name__)

_DAY = 24 * 60 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """`until_next` says in how many seconds it is due again, if that is before `every_seconds`."""

    name: str
    perform: Callable[[], object]
    every_seconds: float
    until_next: Callable[[], float] | None = None


def of_runs() -> tuple[Duty, ...]:
    """What a worker of the queue `runs` does beside them."""
    return (
        Duty(
            name="timers",
            perform=upkeep.fire_timers,
            every_seconds=1,
            until_next=upkeep.seconds_until_timer,
        ),
        Duty(name="schedules", perform=scheduling.fire_due, every_seconds=1),
        Duty(name="queued runs", perform=scheduling.start_queued, every_seconds=2),
        Duty(name="reactions", perform=reacting.react, every_seconds=1),
        Duty(name="episodes", perform=remembering.record_due, every_seconds=2),
        Duty(name="reaper", perform=upkeep.reap, every_seconds=2),
        Duty(name="reminders", perform=upkeep.remind, every_seconds=3),
        Duty(name="slots", perform=upkeep.fill_slots, every_seconds=1),
        Duty(name="presence", perform=_show, every_seconds=5),
        Duty(name="approvals", perform=approvals.expire_due, every_seconds=10),
        Duty(name="orphans", perform=upkeep.cancel_orphans, every_seconds=15),
        Duty(name="silent runs", perform=upkeep.end_silent, every_seconds=15),
        Duty(name="verdicts", perform=upkeep.redeliver_approvals, every_seconds=15),
        Duty(name="bulk jobs", perform=bulk.revive_bulk, every_seconds=30),
        Duty(name="reservations", perform=budgets.release_stale, every_seconds=60),
        Duty(name="ingestion", perform=ingestion.revive_jobs, every_seconds=15),
        Duty(name="outdated vectors", perform=renewing.send_due, every_seconds=30),
        Duty(name="expired entries", perform=writing.forget_expired, every_seconds=60),
        Duty(name="old firings", perform=triggers.forget_firings, every_seconds=60),
        Duty(name="spent keys", perform=idempotency.prune, every_seconds=_DAY),
        Duty(name="spent sign-ins", perform=accounts.prune, every_seconds=_DAY),
    )


_done: dict[str, str] = {}


def _show() -> None:
    upkeep.show_worker(duties=_done)


def run(duties: Sequence[Duty], stop: threading.Event) -> None:
    """Perform each duty at its pace until `stop`; one that fails is logged and comes again."""
    due = dict.fromkeys(range(len(duties)), time.monotonic())
    while not stop.is_set():
        for index, duty in enumerate(duties):
            if time.monotonic() >= due[index]:
                due[index] = time.monotonic() + _perform(duty)
        stop.wait(max(0.0, min(due.values()) - time.monotonic()))


def _perform(duty: Duty) -> float:
    """In how many seconds it is due again."""
    pause = duty.every_seconds
    try:
        duty.perform()
        _done[duty.name] = clock.now().isoformat()
        if duty.until_next is not None:
            pause = min(pause, duty.until_next())
    except (DatabaseError, InterfaceError) as error:
        log.warning("Duty %s did not reach the database (%s).", duty.name, error)
    except Exception:
        log.exception("Duty %s failed", duty.name)
    finally:
        connections.close_all()
    return pause
