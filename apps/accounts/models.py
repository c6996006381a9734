"""Organisation ⊃ team ⊃ project; people and services belong to projects by membership.

Secrets are stored as hashes only.
"""

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from apps.accounts.types import Role
from octavo.kernel import ids


class Organisation(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new)
    slug = models.SlugField(unique=True)
    name = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "organisation"


class Team(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT)
    slug = models.SlugField()
    name = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "team"
        constraints = [models.UniqueConstraint(fields=["organisation", "slug"], name="team_once")]


class Project(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new)
    team = models.ForeignKey(Team, on_delete=models.PROTECT)
    slug = models.SlugField()
    name = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "project"
        constraints = [models.UniqueConstraint(fields=["team", "slug"], name="project_once")]


class Users(BaseUserManager["User"]):
    """Finds people by e-mail address, whatever its case."""

    def get_by_natural_key(self, username: str | None) -> "User":
        email = (username or "").strip().lower()
        if "\0" in email:  # PostgreSQL has no such text, so nobody has such an address
            raise self.model.DoesNotExist
        return self.get(email=email)


class User(AbstractBaseUser, PermissionsMixin):
    """A person. The address is stored in lower case, so one person has one account."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    USERNAME_FIELD = "email"
    objects = Users()

    class Meta:
        db_table = "user_account"
        constraints = [
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_lower_case")
        ]


class Service(models.Model):
    """A program with its own identity in one project."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    name = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "service"
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="service_once")]


class Membership(models.Model):
    """The role of one user or one service in one project."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True)
    service = models.ForeignKey(Service, on_delete=models.CASCADE, null=True)
    role = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "membership"
        constraints = [
            models.UniqueConstraint(fields=["user", "project"], name="membership_user_once"),
            models.UniqueConstraint(fields=["service", "project"], name="membership_service_once"),
            models.CheckConstraint(
                condition=Q(user__isnull=False, service__isnull=True)
                | Q(user__isnull=True, service__isnull=False),
                name="membership_of_one",
            ),
            models.CheckConstraint(
                condition=Q(role__in=[role.value for role in Role]), name="membership_role"
            ),
        ]


class ApiKey(models.Model):
    """`secret_hash` is SHA-256 of the whole secret: 256 random bits need no slow hash.

    Agents belong to a layer above, so theirs is a plain id.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    name = models.TextField()
    prefix = models.TextField()
    secret_hash = models.BinaryField(unique=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True)
    service = models.ForeignKey(Service, on_delete=models.CASCADE, null=True)
    agent_id = models.UUIDField(null=True)
    principal_name = models.TextField()
    scopes = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "api_key"
        indexes = [models.Index(fields=["project", "-id"], name="api_key_project")]
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, service__isnull=True, agent_id__isnull=True)
                | Q(user__isnull=True, service__isnull=False, agent_id__isnull=True)
                | Q(user__isnull=True, service__isnull=True, agent_id__isnull=False),
                name="api_key_of_one",
            )
        ]


class LoginLink(models.Model):
    """One way in, once, for fifteen minutes."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    token_hash = models.BinaryField(unique=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "login_link"
