"""What a run can wait for, and which of several things is shown as the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

TURN = "turn"
"""The kind of a call that is made after another one that is under way: never parked for."""

_FIRST_SHOWN = ("pause", "effect", "input", "approval", "signal", "run", "timer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A step that can only go on after mail. `kind` and `waits_for` are shown as `waiting_on`.

    With `timer`, mail of that key arrives at `until`.
    """

    kind: str
    waits_for: str
    until: datetime | None = None
    timer: str | None = None


def shown(waits: Sequence[Wait]) -> Wait:
    """What a person can do something about comes first."""
    return min(waits, key=lambda wait: _FIRST_SHOWN.index(wait.kind))


def timers(waits: Sequence[Wait]) -> list[tuple[str, datetime]]:
    return [(wait.timer, wait.until) for wait in waits if wait.timer and wait.until]
