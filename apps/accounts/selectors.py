"""Who is who, and on whose ground. Everything here stays within the organisation of the asker."""

import time
from collections.abc import Mapping
from uuid import UUID

from django.db import connection
from django.db.models import F

from apps.accounts.models import ApiKey, Membership, Project
from apps.accounts.rows import key_of, member_of, principal_of_user, project_of, scope_on
from apps.accounts.types import KeyView, MemberView, ProjectView
from apps.governance.services import decisions
from apps.governance.types import Action, Fact, Resource
from octavo.kernel import clock, ids
from octavo.kernel.errors import Forbidden, NotFound
from octavo.kernel.scope import SYSTEM, PrincipalKind, Scope

DEFAULT = "default"

_ROLE_SECONDS = 2.0
_MOST_ROLES = 10_000
_ASKED_OFTEN = frozenset({Action.MODEL_CALL, Action.TOOL_CALL})
_known_roles: dict[tuple[UUID, UUID], tuple[float, Mapping[str, Fact]]] = {}

# Asked once per decision.
_ROLE_OF_USER = """
SELECT m.role FROM membership m JOIN user_account u ON u.id = m.user_id
WHERE m.project_id = %s AND m.user_id = %s AND u.is_active
"""
_ROLE_OF_SERVICE = "SELECT role FROM membership WHERE project_id = %s AND service_id = %s"


def scope_for_user(*, user_id: UUID, project_id: UUID | None = None) -> Scope:
    """The person's scope in that project, or in the first one they joined.

    Raises `Forbidden` for somebody inactive or from outside the project.
    """
    memberships = Membership.objects.filter(user_id=user_id, user__is_active=True)
    if project_id is not None:
        memberships = memberships.filter(project_id=project_id)
    found = memberships.select_related("user", "project__team").order_by("id").first()
    if found is None or found.user is None:
        raise Forbidden("You are in no such project. Ask an admin of the project to add you.")
    return scope_on(found.project, principal_of_user(found.user))


def system_scope(*, project_id: UUID) -> Scope:
    """Octavo itself on a project's ground, for bootstrap and background work only."""
    return scope_on(_get_project_row(project_id), SYSTEM)


def default_project() -> ProjectView:
    """The project of the first start. Raises `NotFound` before `manage.py bootstrap` has run."""
    row = (
        Project.objects.select_related("team")
        .filter(slug=DEFAULT, team__slug=DEFAULT, team__organisation__slug=DEFAULT)
        .first()
    )
    if row is None:
        raise NotFound("There is no project yet. Run `python manage.py bootstrap`.")
    return project_of(row)


def get_project(*, project_id: UUID) -> ProjectView:
    return project_of(_get_project_row(project_id))


def list_keys(*, scope: Scope, limit: int = 50, before: UUID | None = None) -> list[KeyView]:
    """Keys of the project, newest first, revoked ones too. Needs `key.manage`."""
    decisions.check(scope=scope, action=Action.KEY_MANAGE, resource=Resource.project_of(scope))
    rows = ApiKey.objects.filter(project_id=scope.project_id)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return [key_of(row) for row in rows.order_by("-id")[:limit]]


def get_key_id(*, scope: Scope, name: str) -> UUID:
    """The key of the project with this public id, or the only one in force with this name."""
    rows = ApiKey.objects.filter(project_id=scope.project_id)
    if name.startswith(f"{ids.Kind.KEY}_"):
        rows = rows.filter(id=ids.decode(ids.Kind.KEY, name))
    else:
        rows = rows.filter(name=name, revoked_at=None)
    found = list(rows.values_list("id", flat=True)[:2])
    if len(found) != 1:
        many = "There is more than one key" if found else "There is no key"
        raise NotFound(f"{many} {name!r} in this project. Give the id of one: key_….")
    return found[0]


def require_key_in_force(*, scope: Scope) -> None:
    """Raises `Forbidden` when the key that `scope` was made with is revoked, expired or gone: for
    what acts in its name long after it was shown.
    """
    if scope.key_id is None:
        return
    row = ApiKey.objects.filter(id=scope.key_id, project_id=scope.project_id).first()
    expired = row is not None and row.expires_at is not None and row.expires_at <= clock.now()
    if row is None or row.revoked_at is not None or expired:
        name = repr(row.name) if row else ids.encode(ids.Kind.KEY, scope.key_id)
        raise Forbidden(
            f"The API key {name} is no longer in force, so nothing is done in its name. Save this "
            "again with a key that is."
        )


def list_ground(*, scope: Scope) -> Mapping[str, tuple[UUID, str]]:
    """The caller's own `organisation`, `team` and `project`: id and slug of each."""
    project = _get_project_row(scope.project_id)
    return {
        "organisation": (project.team.organisation_id, project.team.organisation.slug),
        "team": (project.team_id, project.team.slug),
        "project": (project.id, project.slug),
    }


def list_members(*, scope: Scope) -> list[MemberView]:
    """People, then services, in the order in which they joined. Needs `run.read`."""
    decisions.check(scope=scope, action=Action.RUN_READ, resource=Resource.project_of(scope))
    rows = Membership.objects.filter(project_id=scope.project_id).select_related("user", "service")
    return [member_of(row) for row in rows.order_by(F("user").asc(nulls_last=True), "id")]


def find_role(*, scope: Scope, action: Action, resource: Resource) -> Mapping[str, Fact]:
    """The role of a user or service in the scope's project; no fact for somebody from outside.

    Model and tool calls ask again and again: what they are told is at most two seconds old.
    """
    if action not in _ASKED_OFTEN:
        return _read_role(scope)
    asked = (scope.project_id, scope.principal.id)
    known = _known_roles.get(asked)
    if known is None or known[0] < time.monotonic():
        if len(_known_roles) >= _MOST_ROLES:
            _known_roles.clear()
        known = _known_roles[asked] = (time.monotonic() + _ROLE_SECONDS, _read_role(scope))
    return known[1]


def _read_role(scope: Scope) -> Mapping[str, Fact]:
    is_user = scope.principal.kind is PrincipalKind.USER
    with connection.cursor() as cursor:
        cursor.execute(
            _ROLE_OF_USER if is_user else _ROLE_OF_SERVICE,
            [scope.project_id, scope.principal.id],
        )
        found = cursor.fetchone()
    return {"role": found[0]} if found else {}


def _get_project_row(project_id: UUID) -> Project:
    row = Project.objects.select_related("team__organisation").filter(id=project_id).first()
    if row is None:
        name = ids.encode(ids.Kind.PROJECT, project_id)
        raise NotFound(f"There is no project {name}.")
    return row
