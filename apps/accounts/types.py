"""Tenancy and identity as other layers see them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from octavo.kernel.scope import Principal, Scope


class Role(StrEnum):
    """What a person or service may do in a project; the shipped policies give each its meaning."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectView:
    id: UUID
    slug: str
    name: str
    team_id: UUID
    organisation_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """A person or a service in a project. `is_active` is False for a person who was shut out."""

    principal: Principal
    role: Role
    is_active: bool
    last_seen_at: datetime | None
    joined_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """An API key without its secret."""

    id: UUID
    name: str
    prefix: str
    principal: Principal
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """`secret` is shown this once; only its SHA-256 is stored."""

    key: KeyView
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What the first start created (`admin_created`, `issued_key`) or found."""

    scope: Scope
    project: ProjectView
    admin_email: str
    admin_created: bool
    issued_key: IssuedKey | None
