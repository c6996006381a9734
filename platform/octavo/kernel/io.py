"""One I/O event loop per process, and bounded executors behind it.

Sync code reaches the outside through `call`; async code reaches the database through `db`. Neither
holds a database connection while it waits for the network. What may take long, because it reaches
the outside itself, is given to `work` or `submit`, so that short database work never queues for it.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from django.db import connections

_DATABASE_THREADS = 16
_WORK_THREADS = 64
_CANCEL_GRACE = 5.0

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


class MisusedError(RuntimeError):
    """A programming error: this I/O would block the loop or hold a transaction open."""


def use_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Make `loop` (uvicorn's, in the web process) the I/O loop of this process."""
    global _loop
    with _lock:
        _loop = loop


def loop() -> asyncio.AbstractEventLoop:
    """The I/O loop; started in a daemon thread the first time a process without one asks."""
    global _loop
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="octavo-io", daemon=True).start()
        return _loop


def call[T](coroutine: Coroutine[Any, Any, T], *, timeout: float) -> T:
    """Run `coroutine` on the I/O loop and wait at most `timeout` seconds for its result.

    Gives the thread's database connection back before it waits. On timeout the coroutine is
    cancelled and `TimeoutError` is raised. Raises `MisusedError` on the loop's own thread or
    inside a transaction.
    """
    return start(coroutine, timeout=timeout).result()


@dataclass(eq=False, slots=True)
class Call[T]:
    """A coroutine under way on the I/O loop, of which this thread wants the result."""

    _future: Future[T]
    _timeout: float
    _until: float

    def result(self) -> T:
        """Wait for it, as `call` does."""
        connections.close_all()
        try:
            return self._future.result(max(0.0, self._until - time.monotonic()))
        except TimeoutError as error:
            if self._future.done() and str(error):  # the coroutine's own, which says more
                raise
            self._future.cancel()
            raise TimeoutError(f"No answer within {self._timeout:g} s.") from None
        except CancelledError:
            raise TimeoutError("The call was cancelled.") from None

    def cancel(self) -> None:
        self._future.cancel()


def start[T](coroutine: Coroutine[Any, Any, T], *, timeout: float) -> Call[T]:
    """Like `call`, without waiting: for several at once."""
    try:
        target = loop()
        _refuse_misuse(target)
    except BaseException:
        coroutine.close()
        raise
    future: Future[T] = asyncio.run_coroutine_threadsafe(_bounded(coroutine, timeout), target)
    return Call(future, timeout, time.monotonic() + timeout + _CANCEL_GRACE)


def first_done(calls: Sequence[Call[Any]], *, within: float | None = None) -> Call[Any] | None:
    """Wait until one of them has its result or has overstayed its time; which one that is.

    None if there is none `within` so many seconds.
    """
    connections.close_all()
    soonest = min(calls, key=lambda call: call._until)
    left = max(0.0, soonest._until - time.monotonic())
    patience = left if within is None else min(left, within)
    wait([call._future for call in calls], timeout=patience, return_when=FIRST_COMPLETED)
    overdue = soonest if patience == left else None
    return next((call for call in calls if call._future.done()), overdue)


async def _bounded[T](coroutine: Coroutine[Any, Any, T], timeout: float) -> T:  # noqa: ASYNC109
    async with asyncio.timeout(timeout):
        return await coroutine


def _refuse_misuse(target: asyncio.AbstractEventLoop) -> None:
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is not None:
        where = "the I/O loop" if running is target else "an event loop"
        raise MisusedError(f"io.call on {where} would block it: await the coroutine instead.")
    if any(c.in_atomic_block for c in connections.all(initialized_only=True)):
        raise MisusedError("io.call inside a transaction would hold it open: commit first.")


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_DATABASE_THREADS, thread_name_prefix="octavo-db")


async def db[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run sync database code in a bounded executor, and give its connection back afterwards."""
    in_context = _in_context(partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_executor(), in_context)


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_WORK_THREADS, thread_name_prefix="octavo-work")


async def work[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run sync code that may take long in an executor of its own. Cancelling leaves it running."""
    return await asyncio.wrap_future(submit(function, *args, **kwargs))


def submit[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """The same for sync code, which may wait for a while and then go on without the result."""
    return _workers().submit(_in_context(partial(function, *args, **kwargs)))


def _in_context[T](function: Callable[[], T]) -> Callable[[], T]:
    """Log records keep their run; the database connection is given back."""
    return partial(contextvars.copy_context().run, partial(_with_connection, function))


def _with_connection[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return function(*args, **kwargs)
    finally:
        connections.close_all()
