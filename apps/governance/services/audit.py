"""Keeps what the kernel's audit port is told, as links of the organisation's chain."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.db import connection

from octavo.kernel.scope import Principal, Scope

# The trigger sets the number, the time and both hashes.
_APPEND = """
INSERT INTO audit_entry (
    organisation_id, seq, at, project_id, actor_id, actor, action, target, outcome, payload,
    prev_hash, hash
) VALUES (%s, 0, now(), %s, %s, %s, %s, %s, %s, %s::jsonb, '', '')
"""


def keep(
    *, scope: Scope, action: str, target: str, outcome: str, payload: Mapping[str, Any]
) -> None:
    """Append one entry, in the caller's transaction; the chain stays locked until its commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            _APPEND,
            [
                scope.organisation_id,
                scope.project_id,
                scope.principal.id,
                label(scope.principal),
                action,
                target,
                outcome,
                orjson.dumps(payload, default=str).decode(),
            ],
        )


def label(principal: Principal) -> str:
    """How records name a principal: `user:ada@example.com`, `agent:guide`, `system:octavo`."""
    return f"{principal.kind}:{principal.name}"
