"""Routes that were called a moment ago, so that a call need not read four tables first.

What this process changes is forgotten at its commit; what others change bites within two seconds.
"""

import threading
import time
from uuid import UUID

from apps.model_registry.types import RouteView

Callable = tuple[RouteView, tuple[str, ...]]
_TTL = 2.0
_CAPACITY = 10_000


class KnownRoutes:
    """Each route with the credentials of its targets, by project and name."""

    def __init__(self) -> None:
        self._known: dict[tuple[UUID, str], tuple[float, Callable]] = {}
        self._changes = 0
        self._lock = threading.Lock()

    @property
    def changes(self) -> int:
        """Take it before you read: what was read before a change is not remembered after it."""
        return self._changes

    def find(self, project_id: UUID, name: str) -> Callable | None:
        until, known = self._known.get((project_id, name), (0.0, None))
        return known if until > time.monotonic() else None

    def remember(self, project_id: UUID, name: str, known: Callable, *, changes: int) -> None:
        with self._lock:
            if changes != self._changes:
                return
            if len(self._known) >= _CAPACITY:
                self._known.clear()
            self._known[project_id, name] = (time.monotonic() + _TTL, known)

    def forget(self) -> None:
        with self._lock:
            self._changes += 1
            self._known.clear()


known_routes = KnownRoutes()
