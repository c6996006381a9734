"""Every address that Django answers; health, metrics and static files are answered beside it in
`asgi`.
"""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/v1/", include("apps.api.rest.urls")),
    path("admin/", admin.site.urls),
    path("", include("apps.console.urls")),
]
handler400 = "apps.api.pages.bad_request"
handler403 = "apps.api.pages.forbidden"
handler404 = "apps.api.pages.not_found"
handler500 = "apps.api.pages.server_error"
