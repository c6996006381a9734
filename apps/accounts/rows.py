"""Rows as the values that cross layers; rows themselves never do."""

from apps.accounts.models import ApiKey, Project, Service, User
from apps.accounts.types import KeyView, ProjectView
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
