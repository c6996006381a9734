"""/admin/: tables for staff, read-mostly. People sign in where everybody does.

Its pages come from django-unfold, whose scripts evaluate expressions: the policy that allows that
holds below /admin/ and nowhere else.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.csp import csp_override
from unfold.sites import UnfoldAdminSite

POLICY = {
    **settings.SECURE_CSP,
    "script-src": ["'self'", "'unsafe-inline'", "'unsafe-eval'"],
    "style-src": ["'self'", "'unsafe-inline'"],
}


class StaffSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    def admin_view(self, view: Any, cacheable: bool = False) -> Callable[..., Any]:
        wrapped = super().admin_view(view, cacheable)
        relaxed: Callable[..., Any] = csp_override(POLICY)(wrapped)
        return relaxed

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Somebody who is signed in but no staff goes home: the sign-in would send them back."""
        if request.user.is_authenticated:
            return redirect("/")
        return redirect("/login?next=/admin/")
