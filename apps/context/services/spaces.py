"""Creates spaces. A space's name is unique in its project and never changes."""

import re

from django.db import IntegrityError, transaction

from apps.context import access, views
from apps.context.models import Space
from apps.context.types import SpaceKind, SpaceView
from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from octavo.kernel import audit
from octavo.kernel.errors import Conflict, InvalidInput
from octavo.kernel.scope import Scope

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


def create_space(*, scope: Scope, name: str, kind: SpaceKind = SpaceKind.TEXT) -> SpaceView:
    """A new, empty space. Raises `InvalidInput` for a bad name, `Conflict` if the name is taken."""
    check_name(name, what="A space")
    decisions.check(scope=scope, action=Action.SPACE_MANAGE, resource=Resource.project_of(scope))
    space = Space(
        organisation_id=scope.organisation_id, project_id=scope.project_id, name=name, kind=kind
    )
    try:
        with transaction.atomic():
            space.save(force_insert=True)
            audit.record(
                scope=scope, action="space.create", target=name, payload={"kind": str(kind)}
            )
    except IntegrityError:
        raise taken(name) from None
    space.refresh_from_db()
    return views.space_view(space)


def check_name(name: str, *, what: str) -> None:
    """Raises `InvalidInput` unless `name` may stand in an address."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{what} cannot be called {name!r}: use lower-case letters, digits, '.', '_' and '-', "
            "63 at most, a letter or digit first.",
            errors=[{"path": "/name", "detail": "not a valid name"}],
        )


def taken(name: str) -> Conflict:
    return Conflict(
        f"There is a space {name!r} in this project already. Write to it, or choose another name."
    )


def ensure_space(*, scope: Scope, name: str, kind: SpaceKind = SpaceKind.TEXT) -> SpaceView:
    """The space of that name, created if it does not exist."""
    found = access.find_space(scope=scope, name=name)
    if found is None:
        try:
            return create_space(scope=scope, name=name, kind=kind)
        except Conflict:  # another process was faster
            pass
    return views.space_view(access.readable_space(scope=scope, name=name))
