"""Who is meant by the text of a principal: `usr_…`, `svc_…`, or `agent:<name>`."""

from apps.agents import selectors as agents
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput
from octavo.kernel.ids import Kind
from octavo.kernel.scope import Principal, PrincipalKind, Scope

HELP = "`usr_…`, `svc_…` or `agent:<name>`; by default the caller."
_AGENT = "agent:"


def find_principal(text: str, *, scope: Scope) -> Principal | None:
    """None for "". Raises `NotFound` for an unknown agent, `InvalidInput` for an unknown form."""
    if not text:
        return None
    if text == scope.principal.public_id:
        return scope.principal
    if text.startswith(_AGENT):
        agent = agents.get_agent(scope=scope, name=text.removeprefix(_AGENT))
        return Principal(kind=PrincipalKind.AGENT, id=agent.id, name=agent.name)
    for kind, prefix in ((PrincipalKind.USER, Kind.USER), (PrincipalKind.SERVICE, Kind.SERVICE)):
        if text.startswith(f"{prefix}_"):
            return Principal(kind=kind, id=ids.decode(prefix, text), name=text)
    raise InvalidInput(
        f"{text!r} names no principal. Write usr_…, svc_… or agent:<name>.",
        errors=[{"path": "/principal", "detail": "Unknown form of principal."}],
    )
