"""Signing in with a password or a one-time link, and out. A session begins only here."""

from typing import Any
from uuid import UUID

from django.contrib import auth
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import services
from apps.console import web
from octavo.kernel.errors import OctavoError, RateLimited

_BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@require_http_methods(["GET", "POST"])
def password_form(request: HttpRequest) -> HttpResponse:
    """The form; a wrong password and an unknown address look the same."""
    target = _target(request)
    if request.method == "GET":
        return web.render(request, None, "login", {"next": target})
    email = request.POST.get("email", "").strip().lower()
    try:
        user_id = services.sign_in(
            email=email,
            password=request.POST.get("password", ""),
            address=request.META.get("REMOTE_ADDR", ""),
        )
    except OctavoError as refusal:
        page = {"next": target, "email": email, "refusal": refusal.detail}
        answer = web.render(request, None, "login", page, status=refusal.status)
        if isinstance(refusal, RateLimited):
            answer["Retry-After"] = str(refusal.retry_after)
        return answer
    auth.login(request, _user(user_id), backend=_BACKEND)
    return redirect(target)


@never_cache
@require_http_methods(["GET", "POST"])
def link(request: HttpRequest, token: str) -> HttpResponse:
    """A one-time link. It takes a press of a button: mail scanners and previews follow links
    too.
    """
    if request.method == "GET":
        return web.render(request, None, "link", {"token": token})
    try:
        user_id = services.redeem_login_link(token=token)
    except OctavoError as refusal:
        page = {"next": "/", "refusal": refusal.detail}
        return web.render(request, None, "login", page, status=refusal.status)
    auth.login(request, _user(user_id), backend=_BACKEND)
    return redirect("/")


def _user(user_id: UUID) -> Any:
    return get_user_model()._default_manager.get(pk=user_id)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    return redirect("/login")


def _target(request: HttpRequest) -> str:
    """Where to go after signing in: a path of ours, never another site."""
    wanted = request.POST.get("next") or request.GET.get("next") or "/"
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_ours and wanted.startswith("/") else "/"
