"""Who asks, and on whose ground: every service takes a `Scope`, none guesses a tenant."""

from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from octavo.kernel import ids


class PrincipalKind(StrEnum):
    USER = "user"
    SERVICE = "service"
    AGENT = "agent"
    SYSTEM = "system"


_ID_KINDS = {
    PrincipalKind.USER: ids.Kind.USER,
    PrincipalKind.SERVICE: ids.Kind.SERVICE,
    PrincipalKind.AGENT: ids.Kind.AGENT,
}
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user, a service, an agent, or Octavo itself (`system`: bootstrap, background work)."""

    kind: PrincipalKind
    id: UUID
    name: str

    @property
    def public_id(self) -> str:
        return (
            "system"
            if self.kind is PrincipalKind.SYSTEM
            else ids.encode(_ID_KINDS[self.kind], self.id)
        )


SYSTEM = Principal(kind=PrincipalKind.SYSTEM, id=_NOBODY, name="octavo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The tenant and the principal of one request or run.

    `key_scopes` narrows what the principal may do to the actions its API key was made for
    (`("*",)` for everything, `context.*` for a group, `run.start` for one action). `is_autonomous`:
    a model chooses what is done in the principal's name, as it does behind an MCP client.
    `root_run_id` is the run whose work `run_id` is part of: its budget binds all of it.
    """

    organisation_id: UUID
    team_id: UUID
    project_id: UUID
    principal: Principal
    key_id: UUID | None = None
    key_scopes: tuple[str, ...] = ("*",)
    run_id: UUID | None = None
    root_run_id: UUID | None = None
    is_autonomous: bool = False

    def acting_as(self, principal: Principal, *, run_id: UUID | None = None) -> "Scope":
        """The same ground, another principal: how a run acts as its agent."""
        return replace(
            self, principal=principal, run_id=run_id or self.run_id, key_id=None, key_scopes=("*",)
        )
