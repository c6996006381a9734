"""Rows as the values that cross layers; rows themselves never do."""

from apps.accounts.models import ApiKey, Membership, Project, Service, User
from apps.accounts.types import KeyView, MemberView, ProjectView, Role
from octavo.kernel.scope import Principal, PrincipalKind, Scope


def principal_of_user(user: User) -> Principal:
    return Principal(kind=PrincipalKind.USER, id=user.id, name=user.email)


def principal_of_service(service: Service) -> Principal:
    return Principal(kind=PrincipalKind.SERVICE, id=service.id, name=service.name)


def principal_of_key(key: ApiKey) -> Principal:
    owners = (
        (PrincipalKind.USER, key.user_id),
        (PrincipalKind.SERVICE, key.service_id),
        (PrincipalKind.AGENT, key.agent_id),
    )
    kind, owner = next((kind, owner) for kind, owner in owners if owner is not None)
    return Principal(kind=kind, id=owner, name=key.principal_name)


def scope_on(project: Project, principal: Principal) -> Scope:
    """`project` was fetched with its team."""
    return Scope(
        organisation_id=project.team.organisation_id,
        team_id=project.team_id,
        project_id=project.id,
        principal=principal,
    )


def project_of(row: Project) -> ProjectView:
    return ProjectView(
        id=row.id,
        slug=row.slug,
        name=row.name,
        team_id=row.team_id,
        organisation_id=row.team.organisation_id,
    )


def member_of(row: Membership) -> MemberView:
    """`row` was fetched with its user and its service."""
    user, service = row.user, row.service
    if user is not None:
        principal = principal_of_user(user)
    else:
        assert service is not None  # noqa: S101  a constraint: one of the two
        principal = principal_of_service(service)
    return MemberView(
        principal=principal,
        role=Role(row.role),
        is_active=user.is_active if user is not None else True,
        last_seen_at=user.last_login if user is not None else None,
        joined_at=row.created_at,
    )


def key_of(row: ApiKey) -> KeyView:
    return KeyView(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        principal=principal_of_key(row),
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
