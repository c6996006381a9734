"""Puts the caller's `Scope` on every REST request as `request.auth`."""

from django.views import View
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.api.authentication import authenticate
from octavo.kernel.scope import Principal, Scope


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer oct_…`, or the console's session cookie."""

    def authenticate(self, request: Request) -> tuple[Principal, Scope]:
        scope = authenticate(request._request)
        return scope.principal, scope

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="octavo"'


class IsAuthenticated(BasePermission):
    """What the caller may do is decided by the services; here it is only known who calls."""

    def has_permission(self, request: Request, view: View) -> bool:
        return isinstance(request.auth, Scope)
