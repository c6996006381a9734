"""Changes to one membership: a project never loses its last admin."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from apps.accounts.models import Membership, Project
from apps.accounts.types import Role
from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from octavo.kernel import audit, ids
from octavo.kernel.errors import Conflict, NotFound
from octavo.kernel.scope import Scope


@contextmanager
def managed_member(scope: Scope, member_id: UUID) -> Iterator[Membership]:
    """The membership of this person or service, its project locked against other changes."""
    decisions.check(scope=scope, action=Action.MEMBER_MANAGE, resource=Resource.project_of(scope))
    with transaction.atomic():
        Project.objects.select_for_update().get(id=scope.project_id)
        rows = Membership.objects.filter(project_id=scope.project_id)
        row = rows.filter(Q(user_id=member_id) | Q(service_id=member_id)).first()
        if row is None:
            raise NotFound("There is no such member of this project. Reload the list.")
        yield row


def refuse_last_admin(scope: Scope, row: Membership) -> None:
    admins = Membership.objects.filter(project_id=scope.project_id, role=Role.ADMIN.value)
    others = admins.filter(user__is_active=True).exclude(id=row.id)
    if row.role == Role.ADMIN and not others.exists():
        raise Conflict("This is the project's last admin. Make somebody else an admin first.")


def audit_member(scope: Scope, row: Membership, action: str, **said: str) -> None:
    kind = ids.Kind.USER if row.user_id else ids.Kind.SERVICE
    member_id = row.user_id or row.service_id
    assert member_id is not None  # noqa: S101  a constraint: one of the two
    audit.record(scope=scope, action=action, target=ids.encode(kind, member_id), payload=said)
