"""Upstream MCP servers: added, looked at, changed, removed. Secrets go in and never come out.

A request that speaks to a server does so before its `Idempotency-Key` is claimed, because nothing
waits for a network in a transaction; a repeated one looks at the server again and changes nothing.
"""

from dataclasses import replace
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, idempotent
from apps.api.rest.fields import StrictSerializer, TimeField
from apps.api.rest.paging import PageQuery, page, pick
from apps.api.rest.schema import listed
from apps.api.rest.tools import ClassesBody, classes_of
from apps.tools import selectors
from apps.tools.services import discovering, reviewing, servers
from apps.tools.types import Discovery, Health, ServerSpec, ServerView, Transport
from octavo.kernel.errors import InvalidInput

_TRANSPORTS = [str(transport) for transport in Transport]
_AUTHS = ["none", "bearer"]


class ServerFields(StrictSerializer):
    url = serializers.CharField(
        max_length=2000, required=False, help_text="Of an `http` server, such as https://host/mcp."
    )
    command = serializers.CharField(
        max_length=1000, required=False, help_text="Of a `stdio` server; in OCTAVO_STDIO_COMMANDS."
    )
    args = serializers.ListField(
        child=serializers.CharField(max_length=4000, allow_blank=True, trim_whitespace=False),
        required=False,
        max_length=100,
    )
    env = serializers.DictField(
        child=serializers.CharField(max_length=20_000, allow_blank=True, trim_whitespace=False),
        required=False,
        help_text="Environment of a `stdio` server; sealed, and never shown again.",
    )
    auth = serializers.ChoiceField(_AUTHS, required=False)
    token = serializers.CharField(
        max_length=8000, required=False, help_text="For `bearer`; sealed, and never shown again."
    )
    enabled = serializers.BooleanField(required=False)


class ToolServerBody(ServerFields):
    name = serializers.CharField(max_length=64)
    transport = serializers.ChoiceField(_TRANSPORTS)


class ToolServerSerializer(serializers.Serializer[ServerView]):
    """A tool server, its health, and how many of its tools are in which state."""

    name = serializers.CharField()
    transport = serializers.ChoiceField(_TRANSPORTS)
    url = serializers.CharField()
    command = serializers.CharField()
    args = serializers.ListField(child=serializers.CharField())
    env = serializers.ListField(
        child=serializers.CharField(), source="env_names", help_text="Names only."
    )
    auth = serializers.SerializerMethodField()
    enabled = serializers.BooleanField()
    health = serializers.ChoiceField([str(health) for health in Health])
    last_error = serializers.CharField()
    checked_at = TimeField(allow_null=True)
    protocol_version = serializers.CharField()
    software = serializers.CharField(help_text="What the server says it is.")
    tools = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="approved, pending, quarantined; and changed and missing among them.",
    )
    created_at = TimeField()

    def get_auth(self, server: ServerView) -> str:
        return "bearer" if server.has_token else "none"


class BulkApprovalSerializer(serializers.Serializer[reviewing.BulkApproval]):
    """Which tools are approved now, and which were left for a closer look, with the reason."""

    approved = serializers.ListField(child=serializers.CharField())
    skipped = serializers.SerializerMethodField()

    def get_skipped(self, done: reviewing.BulkApproval) -> dict[str, str]:
        return dict(done.skipped)


def _spec(body: dict[str, Any], before: ServerSpec) -> ServerSpec:
    """`before` with what the body says in its place."""
    said: dict[str, Any] = {
        name: body[name] for name in ("url", "command", "env", "enabled") if name in body
    }
    if "args" in body:
        said["args"] = tuple(body["args"])
    token = _token(body, before)
    return replace(before, token=token, **said)


def _token(body: dict[str, Any], before: ServerSpec) -> str:
    auth = body.get("auth", "bearer" if body.get("token") or before.token else "none")
    if auth == "none":
        if body.get("token"):
            raise _wrong("/token", "A server without `auth` has no token.")
        return ""
    token: str = body.get("token") or before.token
    if not token:
        raise _wrong("/token", "`auth` is bearer: send the token.")
    return token


def _wrong(path: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[{"path": path, "detail": detail}])


class ToolServersView(ResourceView):
    tag = "tools"

    @extend_schema(
        operation_id="add_tool_server",
        summary="Add a tool server; its tools wait for approval",
        request=ToolServerBody,
        responses={201: ToolServerSerializer},
        examples=[
            OpenApiExample(
                "A server on the web",
                {
                    "name": "tickets",
                    "transport": "http",
                    "url": "https://tickets.example/mcp",
                    "auth": "bearer",
                    "token": "secret",
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """The server is asked for its tools first; one that cannot be spoken to is refused with the
        reason, unless `enabled` is false.
        """
        body = self.checked(ToolServerBody)
        empty = ServerSpec(name=body["name"], transport=Transport(body["transport"]))
        spec = _spec(body, empty)
        found = discovering.discover(scope=self.scope, spec=spec)
        return self._add(request, spec, found)

    @idempotent
    def _add(self, request: Request, spec: ServerSpec, found: Discovery | None) -> Response:
        added = servers.add_server(scope=self.scope, spec=spec, found=found)
        return self.shaped(ToolServerSerializer, added, status=201)

    @extend_schema(
        operation_id="list_tool_servers",
        summary="List tool servers with their health and drift",
        parameters=[PageQuery],
        responses=listed(ToolServerSerializer),
    )
    def get(self, request: Request) -> Response:
        found = selectors.list_servers(scope=self.scope)
        return page(
            lambda limit, before: pick(found, limit, before),
            query=self.query(PageQuery),
            serializer=ToolServerSerializer,
        )


class ToolServerDetailView(ResourceView):
    tag = "tools"

    @extend_schema(
        operation_id="get_tool_server",
        summary="Read a tool server",
        responses=ToolServerSerializer,
    )
    def get(self, request: Request, name: str) -> Response:
        return self.shaped(ToolServerSerializer, selectors.get_server(scope=self.scope, name=name))

    @extend_schema(
        operation_id="change_tool_server",
        summary="Change a tool server; what is left out stays",
        request=ServerFields,
        responses=ToolServerSerializer,
        examples=[OpenApiExample("Disable it", {"enabled": False}, request_only=True)],
    )
    def patch(self, request: Request, name: str) -> Response:
        """An enabled server is asked for its tools under the new settings, and stays as it was when
        it cannot be spoken to.
        """
        before = servers.get_spec(scope=self.scope, name=name)
        spec = _spec(self.checked(ServerFields), before)
        found = discovering.discover(scope=self.scope, spec=spec)
        changed = servers.change_server(scope=self.scope, spec=spec, found=found)
        return self.shaped(ToolServerSerializer, changed)

    @extend_schema(
        operation_id="remove_tool_server",
        summary="Remove a tool server and its tools",
        responses={204: None},
    )
    def delete(self, request: Request, name: str) -> Response:
        servers.remove_server(scope=self.scope, name=name)
        return Response(status=204)


class ToolServerRefreshView(ResourceView):
    tag = "tools"

    @extend_schema(
        operation_id="refresh_tool_server",
        summary="Ask a tool server for its tools again",
        request=None,
        responses=ToolServerSerializer,
    )
    def post(self, request: Request, name: str) -> Response:
        """A changed definition is quarantined, a new tool is pending, and one that is no longer
        listed is missing.
        """
        found = discovering.discover_again(scope=self.scope, name=name)
        return self._record(request, name, found)

    @idempotent
    def _record(self, request: Request, name: str, found: Discovery) -> Response:
        refreshed = servers.record_discovery(scope=self.scope, name=name, found=found)
        return self.shaped(ToolServerSerializer, refreshed)


class ToolServerApprovalView(ResourceView):
    tag = "tools"

    @extend_schema(
        operation_id="approve_tool_server_definitions",
        summary="Approve all tools of a server that need no closer look",
        request=ClassesBody,
        responses=BulkApprovalSerializer,
        examples=[
            OpenApiExample(
                "Tools that only read", {"risk": "read", "effect": "pure"}, request_only=True
            )
        ],
    )
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        done = reviewing.approve_server(
            scope=self.scope, server=name, classes=classes_of(self.checked(ClassesBody))
        )
        return self.shaped(BulkApprovalSerializer, done)
