"""API keys, and services: identities for programs. A key's secret is in one answer, once."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import selectors, services
from apps.accounts.types import IssuedKey, KeyView, Role
from apps.api.rest import principals
from apps.api.rest.base import ResourceView, ShownOnce, idempotent
from apps.api.rest.fields import IdField, StrictSerializer, TimeField
from apps.api.rest.paging import PageQuery, page
from apps.api.rest.schema import listed
from apps.governance.types import Action
from octavo.kernel import ids
from octavo.kernel.ids import Kind
from octavo.kernel.scope import Principal

_SCOPES_WANTED = (
    "Say what the key may do: `*` for everything, groups such as `context.*`, or actions: "
    f"{', '.join(Action)}."
)


class KeyBody(StrictSerializer):
    name = serializers.CharField(max_length=200)
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=64),
        min_length=1,
        max_length=64,
        help_text="Actions such as `run.start`, groups such as `context.*`, or `*`.",
        error_messages={"required": _SCOPES_WANTED, "null": _SCOPES_WANTED},
    )
    principal = serializers.CharField(
        max_length=200, default="", allow_blank=True, help_text=principals.HELP
    )
    expires_at = TimeField(allow_null=True, default=None)


class PrincipalSerializer(serializers.Serializer[Principal]):
    id = serializers.CharField(source="public_id")
    kind = serializers.ChoiceField(["user", "service", "agent", "system"])
    name = serializers.CharField()


class KeySerializer(serializers.Serializer[KeyView]):
    """An API key without its secret."""

    id = IdField(Kind.KEY)
    name = serializers.CharField()
    prefix = serializers.CharField()
    principal = PrincipalSerializer()
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = TimeField()
    expires_at = TimeField(allow_null=True)
    last_used_at = TimeField(allow_null=True)
    revoked_at = TimeField(allow_null=True)


class IssuedKeySerializer(KeySerializer):
    """A new key; `key` is the secret, shown this once (null when the request is repeated)."""

    key = serializers.CharField(allow_null=True)


def _issued(issued: IssuedKey) -> dict[str, Any]:
    return {**KeySerializer(issued.key).data, "key": issued.secret}


class KeysView(ResourceView):
    tag = "keys"

    @extend_schema(
        operation_id="issue_key",
        summary="Create an API key",
        request=KeyBody,
        responses={201: IssuedKeySerializer},
        examples=[
            OpenApiExample(
                "A key that can only start and read runs",
                {"name": "ci", "scopes": ["run.start", "run.read"]},
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(KeyBody)
        issued = services.issue_key(
            scope=self.scope,
            name=body["name"],
            principal=principals.find_principal(body["principal"], scope=self.scope),
            scopes=tuple(body["scopes"]),
            expires_at=body["expires_at"],
        )
        return ShownOnce(_issued(issued), status=201, fields=["key"])

    @extend_schema(
        operation_id="list_keys",
        summary="List API keys, revoked ones too",
        parameters=[PageQuery],
        responses=listed(KeySerializer),
    )
    def get(self, request: Request) -> Response:
        return page(
            lambda limit, before: selectors.list_keys(scope=self.scope, limit=limit, before=before),
            query=self.query(PageQuery),
            serializer=KeySerializer,
        )


class KeyDetailView(ResourceView):
    tag = "keys"

    @extend_schema(
        operation_id="revoke_key",
        summary="Revoke an API key",
        responses={200: KeySerializer},
    )
    def delete(self, request: Request, key_id: str) -> Response:
        revoked = services.revoke_key(scope=self.scope, key_id=ids.decode(Kind.KEY, key_id))
        return self.shaped(KeySerializer, revoked)


class ServiceBody(StrictSerializer):
    name = serializers.CharField(max_length=200)
    role = serializers.ChoiceField([str(role) for role in Role], default=str(Role.MEMBER))


class ServicesView(ResourceView):
    tag = "keys"

    @extend_schema(
        operation_id="create_service",
        summary="Create a service: an identity for a program",
        request=ServiceBody,
        responses={201: PrincipalSerializer},
        examples=[OpenApiExample("A service", {"name": "ci", "role": "member"}, request_only=True)],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = self.checked(ServiceBody)
        created = services.create_service(
            scope=self.scope, name=body["name"], role=Role(body["role"])
        )
        return self.shaped(PrincipalSerializer, created, status=201)
