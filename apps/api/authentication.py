"""Who calls: an API key as a bearer token, or the signed-in browser session. One rule for every
inbound edge.
"""

from django.contrib.auth import get_user
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware

from apps.accounts import selectors as accounts
from apps.accounts import services as accounts_services
from octavo.kernel.errors import Forbidden, Unauthenticated
from octavo.kernel.scope import Scope

_NO_CREDENTIAL = "No credential. Send `Authorization: Bearer oct_…` with an API key."
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def authenticate(request: HttpRequest) -> Scope:
    """The caller's scope. Raises `Unauthenticated`, or `Forbidden` when a session lacks its CSRF
    token.

    Synchronous: it reads the database.
    """
    header = request.headers.get("Authorization", "")
    if header:
        return accounts_services.authenticate_key(secret=bearer(header))
    scope = find_session_scope(request)
    if scope is None:
        raise Unauthenticated(_NO_CREDENTIAL)
    if request.method not in _SAFE_METHODS:
        _require_csrf(request)
    return scope


def authenticate_again(request: HttpRequest) -> Scope:
    """The caller's scope as of now, for an answer that takes long: the key or the session is looked
    up afresh. Raises `Unauthenticated` once it is revoked, expired or signed out.
    """
    fresh = HttpRequest()
    fresh.method, fresh.META = "GET", request.META
    if hasattr(request, "session"):
        fresh.session = type(request.session)(request.session.session_key)
        fresh.user = get_user(fresh)
    return authenticate(fresh)


def find_session_scope(request: HttpRequest) -> Scope | None:
    """The scope of the person signed in to the console, in their default project."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return accounts.scope_for_user(user_id=user.pk)


def bearer(header: str) -> str:
    """The secret in an Authorization header. Raises `Unauthenticated` where there is none."""
    if not header:
        raise Unauthenticated(_NO_CREDENTIAL)
    kind, _, secret = header.partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise Unauthenticated("The Authorization header must read `Bearer oct_…`.")
    return secret.strip()


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> str:
        return reason


def _require_csrf(request: HttpRequest) -> None:
    check = _CsrfCheck(lambda _: None)  # type: ignore[arg-type]
    check.process_request(request)
    reason = check.process_view(request, None, (), {})  # type: ignore[arg-type]
    if reason:
        raise Forbidden(
            f"{reason} A browser session must send its CSRF token in X-CSRFToken; programs send "
            f"an API key."
        )
