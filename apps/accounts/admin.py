"""What staff see of identities: never a secret, never its hash."""

from django.contrib import admin

from apps.accounts.models import ApiKey, Membership, Project, Service, User
from octavo.kernel.staff import ReadOnlyTable


@admin.register(User)
class UserTable(ReadOnlyTable[User]):
    list_display = ("email", "is_active", "is_staff", "last_login", "created_at")
    search_fields = ("email",)
    hidden = ("password",)


@admin.register(Membership)
class MembershipTable(ReadOnlyTable[Membership]):
    list_display = ("project", "user", "service", "role", "created_at")
    list_filter = ("role",)


@admin.register(Service)
class ServiceTable(ReadOnlyTable[Service]):
    list_display = ("name", "project", "created_at")
    search_fields = ("name",)


@admin.register(ApiKey)
class ApiKeyTable(ReadOnlyTable[ApiKey]):
    list_display = ("name", "prefix", "principal_name", "created_at", "last_used_at", "revoked_at")
    search_fields = ("name", "prefix")
    hidden = ("secret_hash",)


@admin.register(Project)
class ProjectTable(ReadOnlyTable[Project]):
    list_display = ("name", "slug", "team", "created_at")
