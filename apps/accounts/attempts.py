"""How often somebody lately tried to sign in: counted in Redis for all processes of the
installation, and while Redis is down in each process for itself.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict

import redis

from octavo.kernel.errors import RateLimited
from octavo.kernel.redis import client

log = logging.getLogger(__name__)

WINDOW_SECONDS = 15 * 60
MOST_FOR_ACCOUNT = 10
MOST_FROM_ADDRESS = 100
_CAPACITY = 10_000


class LocalCounter:
    """Counts of this process, the oldest forgotten first when there are too many names."""

    def __init__(self, *, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, name: str) -> tuple[int, int]:
        """The count with this one, and the seconds until it starts again."""
        with self._lock:
            moment = time.monotonic()
            count, until = self._counts.get(name, (0, 0.0))
            if until <= moment:
                self._counts.pop(name, None)
                count, until = 0, moment + WINDOW_SECONDS
            self._counts[name] = (count + 1, until)
            if len(self._counts) > self._capacity:
                self._counts.popitem(last=False)
            return count + 1, round(until - moment)

    def forget(self, name: str) -> None:
        with self._lock:
            self._counts.pop(name, None)


_local = LocalCounter()


def count_attempt(*, email: str, address: str) -> None:
    """Count one attempt before its password is looked at. Raises `RateLimited` over the limits."""
    limits = (
        (_name(email, address), MOST_FOR_ACCOUNT),
        (_name("", address), MOST_FROM_ADDRESS),
    )
    for name, most in limits:
        count, left = _add(name)
        if count > most:
            raise RateLimited(
                f"Too many attempts to sign in. Try again in {-(-left // 60)} minutes, or use a "
                "login link from `python manage.py bootstrap`.",
                retry_after=max(1, left),
            )


def forget_attempts(*, email: str, address: str) -> None:
    """Whoever got in starts anew; attempts on other accounts from the same address still count."""
    name = _name(email, address)
    _local.forget(name)
    try:
        client().delete(name)
    except redis.RedisError as error:
        log.warning("Redis did not forget attempts to sign in (%s).", error)


def _add(name: str) -> tuple[int, int]:
    try:
        with client().pipeline() as pipe:
            pipe.set(name, 0, ex=WINDOW_SECONDS, nx=True)
            pipe.incr(name)
            pipe.ttl(name)
            _, count, left = pipe.execute()
    except redis.RedisError as error:
        log.warning("Redis did not count an attempt to sign in (%s); this process does.", error)
        return _local.add(name)
    return int(count), int(left)


def _name(email: str, address: str) -> str:
    """No address and no name is readable in Redis, and no part of one can pose as another."""
    parts = f"{len(email)} {email} {address}".encode(errors="surrogatepass")
    return f"octavo:sign-in:{hashlib.sha256(parts).hexdigest()}"
