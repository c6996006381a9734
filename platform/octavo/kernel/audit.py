"""The audit port: any layer records, governance keeps. Without a keeper, recording fails."""

from collections.abc import Mapping
from typing import Any, Protocol

from octavo.kernel.scope import Scope


class Keeper(Protocol):
    def __call__(
        self, *, scope: Scope, action: str, target: str, outcome: str, payload: Mapping[str, Any]
    ) -> None: ...


_keeper: Keeper | None = None


def install(keeper: Keeper) -> None:
    global _keeper
    _keeper = keeper


def record(
    *,
    scope: Scope,
    action: str,
    target: str,
    outcome: str = "done",
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Append one entry to the organisation's audit chain, in the caller's transaction.

    Make it the transaction's last statement: the chain's head is locked from here to the commit.
    """
    if _keeper is None:
        raise RuntimeError(
            "No audit keeper is installed: apps.governance must be in INSTALLED_APPS."
        )
    _keeper(scope=scope, action=action, target=target, outcome=outcome, payload=payload or {})
