"""What a worker does besides advancing runs, so that none is lost or forgotten.

Each function is safe in any number of processes at once, and cheap when there is nothing to do.
"""

import logging
import threading
from collections.abc import Mapping

from django.db import DatabaseError, InterfaceError, connections

from apps.orchestration import children, inbox, leases, recovery, slots, workers
from apps.orchestration.services import control, outside
from apps.orchestration.services.control import CANCEL_CHANNEL as CANCEL_CHANNEL

log = logging.getLogger(__name__)

_AT_ONCE = 10_000


def heartbeat() -> int:
    """Renew the leases of this process; call it every `heartbeat_seconds()`."""
    return leases.heartbeat()


def heartbeat_seconds() -> float:
    return leases.heartbeat_seconds()


def keep_leases(stop: threading.Event, wake: threading.Event) -> None:
    """Renew the leases at their pace, and at once when `wake` is set, until `stop`; for a thread
    of every process that holds runs.
    """
    while not stop.is_set():
        try:
            heartbeat()
        except (DatabaseError, InterfaceError) as error:
            log.warning("The leases could not be renewed (%s); trying again.", error)
        finally:
            connections.close_all()
        wake.wait(heartbeat_seconds())
        wake.clear()


def reap() -> int:
    """Give runs whose worker died to the next one, or set them aside after three crashes."""
    return recovery.reap()


def remind() -> int:
    """Send a second hint for runs that no worker took."""
    return recovery.remind()


def remind_all() -> int:
    """Send hints for ready runs at once, because the broker is known to have lost its own."""
    return recovery.remind(after_seconds=0, limit=_AT_ONCE)


def fire_timers() -> int:
    """Turn due timers into mail, all there are."""
    fired = 0
    while more := inbox.fire_timers():
        fired += more
    return fired


def seconds_until_timer() -> float:
    """Seconds until the next timer is due; infinite without any."""
    return inbox.seconds_until_timer()


def fill_slots() -> int:
    """Wake runs that waited for a slot which is free by now."""
    return slots.wake()


def show_worker(*, duties: Mapping[str, str]) -> None:
    """Say that this process lives, how many runs it holds and when it last did each duty."""
    workers.show(owner=leases.OWNER, held=len(leases.held()), duties=duties)


def redeliver_approvals() -> int:
    """Wake runs whose approval was decided while nobody could be told."""
    return control.redeliver_approvals()


def cancel_orphans() -> int:
    """End runs whose parent has ended while their job was lost."""
    return children.cancel_orphans()


def end_silent() -> int:
    """End runs whose loop outside is heard of no more."""
    return outside.end_silent()


def stop() -> None:
    """This process takes no more runs; live calls are cut off and their runs handed back."""
    leases.stop()
