"""What a definition grants, as the facts `granted` and `access` of a policy decision.

A run acts on the version it is pinned to; the layer above says which version that is.
"""

from collections.abc import Callable, Mapping
from uuid import UUID

from apps.agents import selectors
from apps.agents.services import loop
from apps.agents.types import HANDOFF_PREFIX, Access, Definition
from apps.governance.types import Action, Fact, Resource, ResourceKind
from apps.tools.selectors import is_granted
from octavo.kernel.scope import Scope

EMBEDDING_ROUTE = "embedding"
_PREFIXES = {
    ResourceKind.TOOL: ("",),
    ResourceKind.AGENT: ("agent__", HANDOFF_PREFIX),
    ResourceKind.WORKFLOW: ("workflow__",),
}
PinLookup = Callable[[UUID], UUID | None]

RouteLookup = Callable[[UUID], str]

_pin_of_run: list[PinLookup] = []
_route_of_run: list[RouteLookup] = []


def register_pins(lookup: PinLookup, *, routes: RouteLookup) -> None:
    """Let `lookup` name the agent version that a run id is pinned to, None for any other run, and
    `routes` the route that somebody who may use it gave the run in place of the version's, else "".
    """
    _pin_of_run[:], _route_of_run[:] = [lookup], [routes]


def provide_facts(*, scope: Scope, action: Action, resource: Resource) -> Mapping[str, Fact]:
    """`granted`, and for a granted space the `access` that the definition gives."""
    definition = _definition_in_force(scope)
    if definition is None:
        return {"granted": False}
    if resource.kind is ResourceKind.SPACE:
        return _space_facts(definition, action, resource.name)
    if resource.kind is ResourceKind.ROUTE:
        return {"granted": resource.name in (*routes_of(definition), _given_route(scope))}
    if resource.kind in _PREFIXES:
        granted, prefixes = loop.granted_tools(definition), _PREFIXES[resource.kind]
        return {"granted": any(is_granted(f"{p}{resource.name}", granted) for p in prefixes)}
    return {"granted": False}


def _given_route(scope: Scope) -> str:
    return _route_of_run[0](scope.run_id) if scope.run_id is not None and _route_of_run else ""


def routes_of(definition: Definition) -> tuple[str, ...]:
    """Its chat route; and the embedding route where it has spaces, as searching them embeds."""
    return (definition.route, EMBEDDING_ROUTE) if definition.spaces else (definition.route,)


def _definition_in_force(scope: Scope) -> Definition | None:
    if scope.run_id is not None and _pin_of_run:
        version_id = _pin_of_run[0](scope.run_id)
        if version_id is not None:
            return selectors.get_definition(version_id=version_id)
    return selectors.find_head_definition(agent_id=scope.principal.id)


def _space_facts(definition: Definition, action: Action, name: str) -> Mapping[str, Fact]:
    accesses = {grant.access for grant in definition.spaces if grant.space == name}
    writes = Access.WRITE in accesses
    granted = writes if action is Action.CONTEXT_WRITE else bool(accesses)
    access = Access.WRITE if writes else Access.READ
    return {"granted": granted, "access": access.value}
