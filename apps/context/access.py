"""Finds a space and asks whether the caller may use it; one that may not be read does not exist."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import QuerySet

from apps.context.models import Space
from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from octavo.kernel.errors import Forbidden, NotFound
from octavo.kernel.scope import Scope


def resource_of(space: Space) -> Resource:
    return Resource(kind=ResourceKind.SPACE, id=space.id, name=space.name)


def list_resources(*, scope: Scope) -> list[Resource]:
    """Every space of the project, for governance to decide on as a batch."""
    return [resource_of(space) for space in Space.objects.filter(project_id=scope.project_id)]


def readable_space(*, scope: Scope, name: str) -> Space:
    """Raises `NotFound` where there is no such space, or none that the caller may read."""
    return readable_spaces(scope=scope, names=[name])[0]


def readable_spaces(*, scope: Scope, names: Sequence[str], step: str = "") -> list[Space]:
    """The spaces of these names, in their order; raises `NotFound` naming the first that is
    missing or not for the caller. What a run reads leaves a decision for each space.
    """
    wanted = list(dict.fromkeys(names))
    found = {space.name: space for space in _of_project(scope).filter(name__in=wanted)}
    allowed = set(_readable_ids(scope)) if scope.run_id is None else None
    for name in wanted:
        if name not in found:
            raise _missing(name)
        place = found[name]
        if not (place.id in allowed if allowed is not None else _may_read(scope, place, step)):
            raise _missing(name)
    return [found[name] for name in wanted]


def writable_space(*, scope: Scope, name: str, step: str = "", approved: bool = False) -> Space:
    """Raises `NotFound` like `readable_space`, `Forbidden` where it may be read but not written.

    `approved`: a person approved exactly this call, which policies are told.
    """
    space = find_space(scope=scope, name=name)
    if space is None:
        raise _missing(name)
    try:
        decisions.check(
            scope=scope,
            action=Action.CONTEXT_WRITE,
            resource=resource_of(space),
            facts={"approved": approved},
            step=step,
        )
    except Forbidden:
        if space.id in _readable_ids(scope):
            raise
        raise _missing(name) from None
    return space


def all_readable(*, scope: Scope) -> list[Space]:
    """Every space that the caller may read, newest first."""
    return list(_of_project(scope).filter(id__in=_readable_ids(scope)).order_by("-id"))


def find_space(*, scope: Scope, name: str) -> Space | None:
    """The space of that name, whoever may read it: for asking policy about it."""
    return _of_project(scope).filter(name=name).first()


def _of_project(scope: Scope) -> QuerySet[Space]:
    return Space.objects.filter(project_id=scope.project_id).select_related("parent")


def _may_read(scope: Scope, space: Space, step: str) -> bool:
    """Asks and leaves a row in the decision log."""
    return decisions.decide(
        scope=scope, action=Action.CONTEXT_READ, resource=resource_of(space), step=step
    ).is_allowed


def _readable_ids(scope: Scope) -> Sequence[UUID]:
    return decisions.allowed_ids(scope=scope, action=Action.CONTEXT_READ, kind=ResourceKind.SPACE)


def _missing(name: str) -> NotFound:
    return NotFound(
        f"There is no space {name!r} in this project that you may read. Check the name, or ask an "
        "administrator for access."
    )
