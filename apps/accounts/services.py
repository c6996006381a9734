"""Writes identities: the first installation, services, keys, sign-ins. Each write is audited."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import auth
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from apps.accounts.attempts import count_attempt, forget_attempts
from apps.accounts.checks import checked_email, checked_name
from apps.accounts.credentials import (
    KEY_PREFIX,
    KnownKeys,
    check_given_secret,
    hash_secret,
    new_key_secret,
    new_link_token,
    shown_part,
)
from apps.accounts.members import audit_member, managed_member, refuse_last_admin
from apps.accounts.models import (
    ApiKey,
    LoginLink,
    Membership,
    Organisation,
    Project,
    Service,
    Team,
    User,
)
from apps.accounts.rows import (
    key_of,
    principal_of_key,
    principal_of_service,
    principal_of_user,
    project_of,
    scope_on,
)
from apps.accounts.types import Installation, IssuedKey, KeyView, Role
from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from octavo.kernel import audit, ids
from octavo.kernel.clock import now, rfc3339
from octavo.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from octavo.kernel.scope import SYSTEM, Principal, PrincipalKind, Scope

DEFAULT = "default"
DEFAULT_ADMIN = "admin@localhost"
LINK_LIFE = timedelta(minutes=15)
INVITATION_LIFE = timedelta(days=3)
_SELDOM = timedelta(minutes=1)

# Agents belong to a layer above, which says itself what a deleted one may do.
_OWNERS_MEMBERSHIP = Membership.objects.filter(
    Q(user_id=OuterRef("user_id")) | Q(service_id=OuterRef("service_id")),
    project_id=OuterRef("project_id"),
)

_known_keys = KnownKeys()


def bootstrap_installation(
    *, admin_email: str = "", admin_password: str = "", api_key: str = ""
) -> Installation:
    """What a first start needs, made where it is missing; a second call changes nothing.

    Without `admin_email` the first admin there is stays, or `admin@localhost` is made; without a
    password they sign in by link. A known address keeps its password. `api_key` is a secret of the
    operator's own choice; without one, the first key of all is made up and returned once.
    """
    email = checked_email(admin_email) if admin_email.strip() else ""
    if api_key:
        check_given_secret(api_key)
    project = _ensure_project()
    scope = scope_on(project, SYSTEM)
    admin, created = _ensure_admin(scope, email=email, password=admin_password)
    issued = _ensure_key(scope, admin, api_key)
    return Installation(
        scope=scope,
        project=project_of(project),
        admin_email=admin.email,
        admin_created=created,
        issued_key=issued,
    )


def create_service(*, scope: Scope, name: str, role: Role) -> Principal:
    """A program's own identity in the project. Needs `member.manage`. `Conflict`: name taken."""
    decisions.check(scope=scope, action=Action.MEMBER_MANAGE, resource=Resource.project_of(scope))
    name = checked_name(name)
    with transaction.atomic():
        row, created = Service.objects.get_or_create(project_id=scope.project_id, name=name)
        if not created:
            raise Conflict(
                f"There is already a service {name!r} in this project. Choose another name."
            )
        Membership.objects.create(project_id=scope.project_id, service=row, role=role.value)
        principal = principal_of_service(row)
        audit.record(
            scope=scope,
            action="service.create",
            target=principal.public_id,
            payload={"name": name, "role": role},
        )
    return principal


def invite_member(*, scope: Scope, email: str, role: Role) -> str:
    """The path of a link that signs this person in once, within three days, as a member.

    Needs `member.manage`. Somebody who is a member already keeps their role and gets no link: only
    they, or the terminal, sign them in.
    """
    decisions.check(scope=scope, action=Action.MEMBER_MANAGE, resource=Resource.project_of(scope))
    email = checked_email(email)
    with transaction.atomic():
        user, created = User.objects.get_or_create(email=email)
        if created:
            user.set_unusable_password()
            user.save(update_fields=["password"])
        elif user.last_login is not None or not user.is_active:
            raise Conflict(
                f"{email} has an account already, so no link can sign in as them. They sign in "
                "themselves; add them by the terminal."
            )
        Membership.objects.update_or_create(
            project_id=scope.project_id, user=user, defaults={"role": role.value}
        )
        token = _new_link(user, life=INVITATION_LIFE)
        audit.record(
            scope=scope,
            action="member.invite",
            target=principal_of_user(user).public_id,
            payload={"email": email, "role": role},
        )
    return f"/login/{token}"


def set_role(*, scope: Scope, member_id: UUID, role: Role) -> None:
    """Give a person or service of the project another role. Needs `member.manage`."""
    with managed_member(scope, member_id) as row:
        if role is not Role.ADMIN:
            refuse_last_admin(scope, row)
        Membership.objects.filter(id=row.id).update(role=role.value)
        audit_member(scope, row, "member.role", role=role)


def remove_member(*, scope: Scope, member_id: UUID) -> None:
    """End a membership: within 5 s every key and session of theirs is nobody's here."""
    with managed_member(scope, member_id) as row:
        refuse_last_admin(scope, row)
        row.delete()
        audit_member(scope, row, "member.remove")


def issue_key(
    *,
    scope: Scope,
    name: str,
    principal: Principal | None = None,
    scopes: Sequence[str] = ("*",),
    expires_at: datetime | None = None,
) -> IssuedKey:
    """A new key for `principal` (by default, whoever asks); its secret is returned this once.

    Needs `key.manage`. A key made with a key reaches no further and lasts no longer than that key;
    nobody but the person gets a person's key. The caller has checked that an agent is one of the
    project's.
    """
    decisions.check(scope=scope, action=Action.KEY_MANAGE, resource=Resource.project_of(scope))
    principal = _checked_principal(scope, principal or scope.principal)
    _check_scopes(scope, scopes)
    if expires_at is not None and expires_at <= now():
        raise InvalidInput(
            "expires_at is in the past. Give a later time, or none.",
            errors=[{"path": "/expires_at", "detail": "must be in the future"}],
        )
    name = checked_name(name)
    with transaction.atomic():
        return _create_key(
            scope=scope,
            name=name,
            principal=principal,
            scopes=tuple(scopes),
            expires_at=_bounded_expiry(scope, expires_at),
            secret=new_key_secret(),
        )


def revoke_key(*, scope: Scope, key_id: UUID) -> KeyView:
    """End a key for good: at once in this process, within 5 s in all others. Idempotent."""
    decisions.check(scope=scope, action=Action.KEY_MANAGE, resource=Resource.project_of(scope))
    name = ids.encode(ids.Kind.KEY, key_id)
    with transaction.atomic():
        rows = ApiKey.objects.filter(id=key_id, project_id=scope.project_id)
        changed = rows.filter(revoked_at=None).update(revoked_at=Now())
        row = rows.first()
        if row is None:
            raise NotFound(f"There is no key {name} in this project. List keys to see all.")
        if changed:
            audit.record(
                scope=scope,
                action="key.revoke",
                target=name,
                payload={"name": row.name, "prefix": row.prefix},
            )
    _known_keys.forget(key_id)
    return key_of(row)


def authenticate_key(*, secret: str) -> Scope:
    """Whoever the key stands for, with its scopes. Raises `Unauthenticated` where there is none.

    A person or program that left the project is nobody, within 5 s of leaving.
    """
    secret_hash = hash_secret(secret)
    known = _known_keys.find(secret_hash)
    if known is not None:
        return known
    row = (
        ApiKey.objects.select_related("project__team", "user")
        .filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)
        .filter(Q(agent_id__isnull=False) | Exists(_OWNERS_MEMBERSHIP), secret_hash=secret_hash)
        .first()
    )
    if row is None or (row.user is not None and not row.user.is_active):
        raise Unauthenticated(
            "The API key is unknown, expired or revoked, or its owner left the project. Send a "
            f"valid one: `Authorization: Bearer {KEY_PREFIX}…`."
        )
    if row.last_used_at is None or row.last_used_at < now() - _SELDOM:
        ApiKey.objects.filter(id=row.id).update(last_used_at=Now())
    ground = scope_on(row.project, principal_of_key(row))
    scope = replace(ground, key_id=row.id, key_scopes=tuple(row.scopes))
    left = (row.expires_at - now()).total_seconds() if row.expires_at else math.inf
    _known_keys.remember(secret_hash, scope, at_most=left)
    return scope


def sign_in(*, email: str, password: str, address: str) -> UUID:
    """The id of the person with this password; `address` is where the attempt comes from.

    Raises `InvalidInput`, the same for a wrong password and an unknown person, or `RateLimited`
    after ten attempts on one account or a hundred in all from one address within 15 minutes.
    """
    email = email.strip().lower()
    count_attempt(email=email, address=address)
    user = auth.authenticate(username=email, password=password)
    if not isinstance(user, User):
        _audit_refused_sign_in(email, address)
        raise InvalidInput("The address or the password is wrong.")
    _audit_sign_in(user, actor=principal_of_user(user), action="sign_in", address=address)
    forget_attempts(email=email, address=address)
    return user.id


def issue_login_link(*, email: str) -> str:
    """The path of a link that signs this person in once, within 15 minutes. For terminals only."""
    user = User.objects.filter(email=email.strip().lower(), is_active=True).first()
    if user is None:
        raise NotFound(f"Nobody active has the address {email!r}.")
    with transaction.atomic():
        token = _new_link(user, life=LINK_LIFE)
        _audit_sign_in(user, actor=SYSTEM, action="login_link.issue")
    return f"/login/{token}"


def redeem_login_link(*, token: str) -> UUID:
    """The id of the person whom the link signs in. Raises `Unauthenticated` the second time."""
    with transaction.atomic():
        links = LoginLink.objects.filter(token_hash=hash_secret(token))
        used = links.filter(used_at=None, expires_at__gt=Now()).update(used_at=Now())
        link = links.select_related("user").first() if used else None
        if link is None or not link.user.is_active:
            raise Unauthenticated(
                "This login link is unknown, was used, or has expired. Make a new one with "
                "`python manage.py bootstrap`, or ask for a new invitation."
            )
        _audit_sign_in(link.user, actor=principal_of_user(link.user), action="login_link.redeem")
    return link.user.id


def prune() -> int:
    """Forget login links and browser sessions that have expired. How many links there were."""
    SessionStore.clear_expired()
    return LoginLink.objects.filter(expires_at__lt=Now()).delete()[0]


def _new_link(user: User, *, life: timedelta) -> str:
    token = new_link_token()
    LoginLink.objects.create(user=user, token_hash=hash_secret(token), expires_at=Now() + life)
    return token


def _ensure_project() -> Project:
    with transaction.atomic():
        organisation, _ = Organisation.objects.get_or_create(
            slug=DEFAULT, defaults={"name": "Default"}
        )
        team, _ = Team.objects.get_or_create(
            organisation=organisation, slug=DEFAULT, defaults={"name": "Default"}
        )
        project, created = Project.objects.select_related("team").get_or_create(
            team=team, slug=DEFAULT, defaults={"name": "Default"}
        )
        if created:
            audit.record(
                scope=scope_on(project, SYSTEM),
                action="project.create",
                target=ids.encode(ids.Kind.PROJECT, project.id),
                payload={"organisation": DEFAULT, "team": DEFAULT, "project": DEFAULT},
            )
    return project


def _ensure_admin(scope: Scope, *, email: str, password: str) -> tuple[User, bool]:
    admins = Membership.objects.filter(project_id=scope.project_id, role=Role.ADMIN.value)
    first = admins.exclude(user=None).select_related("user").order_by("id").first()
    if not email and first is not None and first.user is not None:
        return first.user, False
    with transaction.atomic():
        user, created = User.objects.get_or_create(
            email=email or DEFAULT_ADMIN, defaults={"is_staff": True, "is_superuser": True}
        )
        if created:
            user.set_password(password or None)
            user.save(update_fields=["password"])
        _, joined = Membership.objects.get_or_create(
            project_id=scope.project_id, user=user, defaults={"role": Role.ADMIN.value}
        )
        if created or joined:
            audit.record(
                scope=scope,
                action="member.add",
                target=principal_of_user(user).public_id,
                payload={"email": user.email, "role": Role.ADMIN},
            )
    return user, created


def _ensure_key(scope: Scope, admin: User, secret: str) -> IssuedKey | None:
    keys = ApiKey.objects.filter(project_id=scope.project_id)
    if secret:
        keys = ApiKey.objects.filter(secret_hash=hash_secret(secret))
    with transaction.atomic():
        Project.objects.select_for_update().get(id=scope.project_id)  # one start after another
        if keys.exists():
            return None
        return _create_key(
            scope=scope,
            name="bootstrap",
            principal=principal_of_user(admin),
            scopes=("*",),
            expires_at=None,
            secret=secret or new_key_secret(),
        )


def _create_key(
    *,
    scope: Scope,
    name: str,
    principal: Principal,
    scopes: tuple[str, ...],
    expires_at: datetime | None,
    secret: str,
) -> IssuedKey:
    owner = {
        PrincipalKind.USER: "user_id",
        PrincipalKind.SERVICE: "service_id",
        PrincipalKind.AGENT: "agent_id",
    }[principal.kind]
    with transaction.atomic():
        row = ApiKey.objects.create(
            project_id=scope.project_id,
            name=name,
            prefix=shown_part(secret),
            secret_hash=hash_secret(secret),
            principal_name=principal.name,
            scopes=list(scopes),
            expires_at=expires_at,
            **{owner: principal.id},
        )
        payload: dict[str, Any] = {"name": name, "prefix": row.prefix, "scopes": scopes}
        audit.record(
            scope=scope,
            action="key.issue",
            target=ids.encode(ids.Kind.KEY, row.id),
            payload={**payload, "principal": principal.public_id, "expires_at": expires_at},
        )
    return IssuedKey(key=key_of(row), secret=secret)


def _checked_principal(scope: Scope, principal: Principal) -> Principal:
    """The same principal; a service by its own name, whatever it was called by."""
    match principal.kind:
        case PrincipalKind.SYSTEM:
            raise InvalidInput("Octavo itself has no API key. Name a user, a service or an agent.")
        case PrincipalKind.USER if principal.id != scope.principal.id:
            raise Forbidden(
                f"Only {principal.name} can make a key that stands for {principal.name}. "
                "Create a service for a program.",
                policies=["own-key"],
            )
        case PrincipalKind.SERVICE:
            row = Service.objects.filter(id=principal.id, project_id=scope.project_id).first()
            if row is None:
                raise NotFound(f"There is no service {principal.name!r} in this project.")
            return principal_of_service(row)
    return principal


def _check_scopes(scope: Scope, wanted: Sequence[str]) -> None:
    unknown = [
        pattern
        for pattern in wanted
        if not any(decisions.key_covers(key_scopes=[pattern], action=action) for action in Action)
    ]
    if unknown or not wanted:
        raise InvalidInput(
            f"A key's scopes are actions such as run.start, groups such as context.*, or *; got "
            f"{', '.join(map(repr, unknown)) or 'none'}.",
            errors=[{"path": "/scopes", "detail": "unknown scope"}],
        )
    beyond = [
        action
        for action in Action
        if decisions.key_covers(key_scopes=wanted, action=action)
        and not decisions.key_covers(key_scopes=scope.key_scopes, action=action)
    ]
    if beyond:
        raise Forbidden(
            f"Your own key does not reach {beyond[0]}, so a key made with it cannot. "
            "Use a key with wider scopes, or ask for fewer.",
            policies=["key-scope"],
        )


def _bounded_expiry(scope: Scope, wanted: datetime | None) -> datetime | None:
    """`wanted`, or the end of the key that asks; that key stays as it is until the commit."""
    if scope.key_id is None:
        return wanted
    parents = ApiKey.objects.select_for_update().filter(id=scope.key_id, revoked_at=None)
    parent = parents.filter(Q(expires_at=None) | Q(expires_at__gt=Now())).first()
    if parent is None:
        raise Unauthenticated("The API key was revoked or has expired. Send a valid one.")
    last = parent.expires_at
    if wanted is not None and last is not None and wanted > last:
        raise Forbidden(
            f"Your own key ends at {rfc3339(last)}, so a key made with it cannot last longer. "
            "Give an earlier expires_at, or none to end with it.",
            policies=["key-scope"],
        )
    return wanted or last


def _audit_refused_sign_in(email: str, address: str) -> None:
    """For a known person in the chain of their project, else in the first project's: one cost for
    both. What an unknown person typed is not kept: it may be a password.
    """
    memberships = Membership.objects.filter(user__email=email).select_related("user")
    joined = None if "\0" in email else memberships.order_by("id").first()
    projects = Project.objects.select_related("team").order_by("id")
    project = projects.filter(id=joined.project_id).first() if joined else projects.first()
    if project is not None:
        audit.record(
            scope=scope_on(project, SYSTEM),
            action="sign_in",
            target=principal_of_user(joined.user).public_id
            if joined and joined.user
            else "unknown",
            outcome="refused",
            payload={"address": address},
        )


def _audit_sign_in(user: User, *, actor: Principal, action: str, **said: str) -> None:
    memberships = Membership.objects.filter(user=user).select_related("project__team")
    membership = memberships.order_by("id").first()
    if membership is None:
        raise Forbidden(f"{user.email} is in no project. Ask an admin to add them.")
    audit.record(
        scope=scope_on(membership.project, actor),
        action=action,
        target=principal_of_user(user).public_id,
        payload={"email": user.email, **said},
    )
