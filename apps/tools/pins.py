"""What a server shows against what a person approved: the one place that decides a tool's state.

A change is kept beside what was approved; a name that vanishes is kept as missing; what comes back
unchanged is what it was.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apps.tools import definitions, naming
from apps.tools.models import Tool, ToolServer
from apps.tools.types import Classes, Definition, ToolState
from octavo.kernel.clock import now


def merge(server: ToolServer, shown: Sequence[Definition]) -> dict[str, list[str]]:
    """Write what the server shows over its tools' rows, in the caller's transaction.

    Returns the names of those that are new, changed, missing or back.
    """
    kept = Tool.objects.select_for_update().filter(server=server)
    rows = {row.upstream_name: row for row in kept}
    news: dict[str, list[str]] = {"new": [], "changed": [], "missing": [], "back": []}
    names = _names(server.name, rows.values(), shown)
    for definition in shown:
        row = rows.pop(definition.name, None)
        if row is None:
            row = Tool(server=server, upstream_name=definition.name, name=names[definition.name])
            news["new"].append(row.name)
        else:
            _note(row, definition, news)
        _show(row, definition)
        row.save()
    for row in rows.values():
        if row.missing_since is None:
            row.missing_since = now()
            row.save(update_fields=["missing_since"])
            news["missing"].append(row.name)
    return {kind: found for kind, found in news.items() if found}


def approve(row: Tool, classes: Classes, *, by: str) -> None:
    """Pin what the server shows now, with what a person says about it; lifts a withdrawal."""
    if row.seen is not None:
        _pin(row, row.seen, row.seen_hash)
    say(row, classes)
    row.held = ""
    row.approved_hash, row.approved_by, row.approved_at = row.seen_hash, by, now()
    row.state = _state(row)
    row.save()


def hold(row: Tool, why: str) -> None:
    """Withdraw the tool until a person approves it again, whatever the server shows."""
    row.held = why
    row.state = _state(row)
    row.save(update_fields=["held", "state"])


def say(row: Tool, classes: Classes) -> None:
    said: Mapping[str, Any] = {
        "risk": classes.risk,
        "egress": classes.egress,
        "effect": classes.effect,
        "trust": classes.trust,
        "timeout_seconds": int(classes.timeout.total_seconds()) if classes.timeout else None,
    }
    for column, value in said.items():
        if value is not None:
            setattr(row, column, value)


def _note(row: Tool, definition: Definition, news: dict[str, list[str]]) -> None:
    if definition.hash != row.seen_hash:
        news["changed"].append(row.name)
    elif row.missing_since is not None:
        news["back"].append(row.name)


def _show(row: Tool, definition: Definition) -> None:
    """Keep the approved definition as it is; one that nobody approved follows the server."""
    row.seen_hash, row.problem = definition.hash, definition.problem
    row.missing_since = None
    if not row.approved_hash:
        _pin(row, definitions.to_json(definition), definition.hash)
    else:
        differs = definition.hash != row.approved_hash
        row.seen = definitions.to_json(definition) if differs else None
    row.state = _state(row)


def _pin(row: Tool, shown: Mapping[str, Any], digest: str) -> None:
    for column, value in shown.items():
        setattr(row, column, value)
    row.definition_hash, row.seen = digest, None


def _state(row: Tool) -> ToolState:
    if row.held or row.problem:
        return ToolState.QUARANTINED
    if not row.approved_hash:
        return ToolState.PENDING
    return ToolState.APPROVED if row.seen_hash == row.approved_hash else ToolState.QUARANTINED


def _names(server: str, rows: Iterable[Tool], shown: Sequence[Definition]) -> dict[str, str]:
    """A public name for each definition; one that is taken ends in a hash."""
    names = {row.upstream_name: row.name for row in rows}
    for definition in shown:
        if definition.name not in names:
            name = naming.public_name(server, definition.name)
            taken = name in names.values()
            names[definition.name] = (
                naming.public_name(server, definition.name, unique=False) if taken else name
            )
    return names
