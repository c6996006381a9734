"""Upstream servers of a project: added, changed, looked at again, removed. Needs `tool.manage`.

Speaking to a server and writing down what it said are two verbs, because nothing waits for a
network inside a transaction: `discovering` first, then one of these.
"""

import json
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.governance.services import decisions
from apps.governance.types import Action
from apps.tools import naming, pins, rows, selectors
from apps.tools.models import Tool, ToolServer
from apps.tools.services import specs
from apps.tools.types import Discovery, Health, ServerSpec, ServerView
from octavo.kernel import audit
from octavo.kernel.errors import Conflict
from octavo.kernel.scope import Scope
from octavo.kernel.secrets import Secret


def add_server(*, scope: Scope, spec: ServerSpec, found: Discovery | None) -> ServerView:
    """Keep a server and, of what was `found`, every tool as pending: none is offered yet.

    `found` is None for a server that is not enabled. Raises `Conflict` when its name is taken, or
    could be mistaken for another's.
    """
    specs.check(scope, spec)
    taken = ToolServer.objects.filter(project_id=scope.project_id).values_list("name", flat=True)
    naming.check_unlike(spec.name, taken)
    row = ToolServer(project_id=scope.project_id, name=spec.name)
    _fill(row, spec)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            news = _take_over(row, found)
            _record(scope, "tool_server.added", row, transport=row.transport, tools=news)
    except IntegrityError:
        raise Conflict(
            f"There is already a tool server {spec.name!r} in this project. Choose another name."
        ) from None
    return selectors.server_view(row)


def get_spec(*, scope: Scope, name: str) -> ServerSpec:
    """What was said about a server, its secrets opened: what a change begins with."""
    row = selectors.server_row(scope=scope, name=name)
    _check_may(scope, row)
    return rows.spec_of(row)


def change_server(*, scope: Scope, spec: ServerSpec, found: Discovery | None) -> ServerView:
    """Put `spec` in place of what was said about the server of that name.

    `found` is what it said under `spec`, or None when it was not asked. Tools keep their approval
    only while their definitions stay the same.
    """
    specs.check(scope, spec)
    with transaction.atomic():
        row = _locked(scope, spec.name)
        before = rows.spec_of(row)
        _fill(row, spec)
        row.save()
        news = _take_over(row, found)
        changed = [name for name in _FIELDS if getattr(before, name) != getattr(spec, name)]
        _record(scope, "tool_server.changed", row, changed=changed, tools=news)
    return selectors.server_view(row)


def record_discovery(*, scope: Scope, name: str, found: Discovery) -> ServerView:
    """Write down what a server shows now: what has changed is quarantined, what is new is pending,
    and what is gone is missing.
    """
    with transaction.atomic():
        row = _locked(scope, name)
        _check_may(scope, row)
        news = _take_over(row, found)
        _record(scope, "tool_server.refreshed", row, tools=news)
    return selectors.server_view(row)


def record_failure(*, scope: Scope, name: str, why: str) -> None:
    """Write down that a server could not be spoken to; its tools stay what they are."""
    row = selectors.server_row(scope=scope, name=name)
    _check_may(scope, row)
    ToolServer.objects.filter(id=row.id).update(
        health=Health.FAILING, last_error=why, checked_at=Now()
    )


def remove_server(*, scope: Scope, name: str) -> None:
    """Forget the server, its tools and what was said about them."""
    with transaction.atomic():
        row = _locked(scope, name)
        _check_may(scope, row)
        count = Tool.objects.filter(server=row).count()
        row.delete()
        audit.record(
            scope=scope, action="tool_server.removed", target=name, payload={"tools": count}
        )


_FIELDS = ("transport", "url", "command", "args", "env", "token", "enabled")


def _fill(row: ToolServer, spec: ServerSpec) -> None:
    row.transport, row.url, row.command = spec.transport, spec.url, spec.command
    row.args, row.enabled = list(spec.args), spec.enabled
    row.env = Secret(json.dumps(dict(spec.env)) if spec.env else "")
    row.env_names = sorted(spec.env)
    row.token = Secret(spec.token)


def _take_over(row: ToolServer, found: Discovery | None) -> Mapping[str, Any]:
    if found is None:
        return {}
    ToolServer.objects.filter(id=row.id).update(
        health=Health.HEALTHY,
        last_error="",
        checked_at=Now(),
        protocol_version=found.protocol_version,
        software=found.software,
    )
    return pins.merge(row, found.definitions)


def _check_may(scope: Scope, row: ToolServer) -> None:
    resource = selectors.resource_of_server(row)
    decisions.check(scope=scope, action=Action.TOOL_MANAGE, resource=resource)


def _locked(scope: Scope, name: str) -> ToolServer:
    return selectors.server_row(scope=scope, name=name, lock=True)


def _record(scope: Scope, action: str, row: ToolServer, **payload: object) -> None:
    audit.record(scope=scope, action=action, target=row.name, payload=payload)
