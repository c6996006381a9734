"""What a check finds: in a few words, with the next step where there is something to do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from octavo.kernel.errors import OctavoError


class State(StrEnum):
    """`warning`: Octavo works, but somebody should look. `broken`: something needed does not."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """No text in it holds a secret."""

    name: str
    state: State
    detail: str
    next_step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`needs` names the checks without which this one would only wait and say the same."""

    name: str
    look: Callable[[], Sequence[Finding]]
    needs: tuple[str, ...] = ()


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, state=State.OK, detail=detail)


def warning(name: str, detail: str, next_step: str) -> Finding:
    return Finding(name=name, state=State.WARNING, detail=detail, next_step=next_step)


def broken(name: str, detail: str, next_step: str) -> Finding:
    return Finding(name=name, state=State.BROKEN, detail=detail, next_step=next_step)


def perform(checks: Sequence[Check]) -> Iterator[Finding]:
    """Each check in turn; what one cannot find out for want of something else is a finding too."""
    failed: set[str] = set()
    for check in checks:
        found = _perform(check, failed)
        if any(finding.state is State.BROKEN for finding in found):
            failed.add(check.name)
        yield from found


def _perform(check: Check, failed: set[str]) -> Sequence[Finding]:
    step = "Mend what is broken above first."
    missing = [name for name in check.needs if name in failed]
    if missing:
        return [broken(check.name, f"cannot be looked at without {missing[0]}", step)]
    try:
        return check.look()
    except (DatabaseError, OctavoError, ImproperlyConfigured, OSError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        return [broken(check.name, f"cannot be looked at ({cause})", step)]
