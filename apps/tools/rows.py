"""Rows as frozen values: the only form in which they leave this layer."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet

from apps.tools.models import Tool, ToolServer
from apps.tools.types import (
    Definition,
    Effect,
    Health,
    Risk,
    ServerSpec,
    ServerView,
    ToolReview,
    ToolState,
    ToolView,
    Transport,
    Trust,
    Upstream,
)
from octavo.kernel.secrets import reveal

_COUNTS = {
    **{state.value: Q(tools__state=state.value) for state in ToolState},
    "changed": Q(tools__seen__isnull=False),
    "missing": Q(tools__missing_since__isnull=False),
}


def with_counts(servers: "QuerySet[ToolServer]") -> "QuerySet[ToolServer]":
    """Each server with how many tools it has in each state, in the same query."""
    counts = {f"{name}_tools": Count("tools", filter=which) for name, which in _COUNTS.items()}
    return servers.annotate(**counts)


def server_view(row: ToolServer) -> ServerView:
    """Of a row that `with_counts` read."""
    return ServerView(
        id=row.id,
        name=row.name,
        transport=Transport(row.transport),
        url=row.url,
        command=row.command,
        args=tuple(row.args),
        env_names=tuple(row.env_names),
        has_token=bool(row.token),
        enabled=row.enabled,
        health=Health(row.health),
        last_error=row.last_error,
        checked_at=row.checked_at,
        protocol_version=row.protocol_version,
        software=row.software,
        tools={name: getattr(row, f"{name}_tools") for name in _COUNTS},
        created_at=row.created_at,
    )


def upstream_of(row: ToolServer) -> Upstream:
    """Where the server is, its secrets opened."""
    return Upstream(
        server_id=row.id,
        server=row.name,
        transport=Transport(row.transport),
        url=row.url,
        command=row.command,
        args=tuple(row.args),
        env=tuple(sorted(env_of(row).items())),
        token=reveal(row, "token"),
    )


def env_of(row: ToolServer) -> Mapping[str, str]:
    found: dict[str, str] = json.loads(reveal(row, "env") or "{}")
    return found


def spec_of(row: ToolServer) -> ServerSpec:
    return ServerSpec(
        name=row.name,
        transport=Transport(row.transport),
        url=row.url,
        command=row.command,
        args=tuple(row.args),
        env=env_of(row),
        token=reveal(row, "token"),
        enabled=row.enabled,
    )


def tool_view(row: Tool) -> ToolView:
    """Of a row that was read with its server."""
    return ToolView(
        id=row.id,
        name=row.name,
        title=row.title,
        description=row.description,
        input_schema=row.input_schema,
        output_schema=row.output_schema,
        risk=Risk(row.risk),
        egress=row.egress,
        effect=Effect(row.effect),
        trust=Trust(row.trust),
        server=row.server.name,
        state=ToolState(row.state),
        definition_hash=row.definition_hash,
        timeout=timedelta(seconds=row.timeout_seconds),
        is_remote=True,
        warnings=tuple(row.warnings),
        missing_since=row.missing_since,
    )


def review_of(row: Tool) -> ToolReview:
    return ToolReview(
        tool=tool_view(row),
        upstream_name=row.upstream_name,
        annotations=row.annotations,
        reason=_reason(row),
        pinned=_pinned(row) if row.seen is not None else None,
        seen=_seen(row, row.seen) if row.seen is not None else None,
        approved_by=row.approved_by,
        approved_at=row.approved_at,
    )


def _reason(row: Tool) -> str:
    """Why the tool is not offered to agents; "" when it is."""
    if row.held:
        return f"A person withdrew it: {row.held}"
    if row.problem:
        return f"It cannot be used: {row.problem}."
    if row.seen is not None:
        return "The server has changed its definition since it was approved."
    if row.state == ToolState.PENDING:
        return "Nobody has approved it yet."
    if row.missing_since is not None:
        return "The server no longer lists it."
    return "" if row.server.enabled else f"The server {row.server.name!r} is disabled."


def _pinned(row: Tool) -> Definition:
    return Definition(
        name=row.upstream_name,
        title=row.title,
        description=row.description,
        input_schema=row.input_schema,
        output_schema=row.output_schema,
        annotations=row.annotations,
        hash=row.definition_hash,
        warnings=tuple(row.warnings),
    )


def _seen(row: Tool, shown: Mapping[str, Any]) -> Definition:
    return Definition(
        name=row.upstream_name,
        hash=row.seen_hash,
        problem=row.problem,
        **{**shown, "warnings": tuple(shown["warnings"])},
    )
