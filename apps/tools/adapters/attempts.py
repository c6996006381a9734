"""What became of one request on its way out: whether it left, and what stopped it.

The SDK makes every HTTP error the same JSON-RPC error; here it is known which it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Attempt:
    """`status`: of the last HTTP answer, 0 without one. `failure`: why there was none."""

    was_sent: bool = False
    status: int = 0
    failure: str = ""


_current: ContextVar[Attempt | None] = ContextVar("octavo_tool_attempt", default=None)


@contextmanager
def follow() -> Iterator[Attempt]:
    """Follow the requests that this task makes; the SDK's own tasks inherit it from the asker."""
    token = _current.set(Attempt())
    try:
        yield current()
    finally:
        _current.reset(token)


def current() -> Attempt:
    """The attempt being followed, or one that nobody looks at."""
    return _current.get() or Attempt()
