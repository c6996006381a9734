"""What policies may ask about, and who knows it. Any other fact refuses the request."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.governance.types import Action, Fact, FactProvider, Resource, ResourceKind, ResourceLister
from octavo.kernel.scope import PrincipalKind, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class FactKind:
    """A fact's value where nobody knows better. `values` are all that a text may say.

    `from_provider` facts are about the principal; a caller cannot claim them.
    """

    default: Fact
    values: frozenset[str] = frozenset()
    from_provider: bool = False

    def accepts(self, value: Fact) -> bool:
        return type(value) is type(self.default) and (not self.values or value in self.values)


VOCABULARY: Mapping[str, FactKind] = {
    "role": FactKind(
        default="", values=frozenset({"", "admin", "member", "viewer"}), from_provider=True
    ),
    "granted": FactKind(default=False, from_provider=True),
    "risk": FactKind(default="write", values=frozenset({"read", "write", "irreversible"})),
    "egress": FactKind(default=True),
    "tainted": FactKind(default=False),
    "approved": FactKind(default=False),
    "access": FactKind(default="", values=frozenset({"", "read", "write"})),
    "autonomous": FactKind(default=False, from_provider=True),
}
DEFAULTS: Mapping[str, Fact] = {name: kind.default for name, kind in VOCABULARY.items()}


class UnusableFactError(ValueError):
    """A fact that no policy could be trusted to read; the message is fit to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Provider:
    ask: FactProvider
    depends_on_resource: bool


_providers: dict[PrincipalKind, _Provider] = {}
_listers: dict[ResourceKind, ResourceLister] = {}


def register_provider(
    kind: PrincipalKind, provider: FactProvider, *, depends_on_resource: bool
) -> None:
    _providers[kind] = _Provider(ask=provider, depends_on_resource=depends_on_resource)


def register_lister(kind: ResourceKind, lister: ResourceLister) -> None:
    _listers[kind] = lister


def lister_of(kind: ResourceKind) -> ResourceLister:
    """Raises `LookupError` when no layer has registered one."""
    try:
        return _listers[kind]
    except KeyError:
        raise LookupError(
            f"No layer lists resources of kind {kind}. Register one with register_lister in "
            "the AppConfig.ready() of the layer that owns them."
        ) from None


def gather(
    *, scope: Scope, action: Action, resource: Resource, claimed: Mapping[str, Fact]
) -> dict[str, Fact]:
    """Every fact of the vocabulary. Raises `UnusableFactError` on one that it does not hold."""
    known = _ask(scope=scope, action=action, resource=resource)
    return merge(claimed=claimed, known=known)


def gather_each(
    *, scope: Scope, action: Action, resources: list[Resource]
) -> list[dict[str, Fact]]:
    """`gather` for many resources; asks once where the answer is the same for all."""
    provider = _providers.get(scope.principal.kind)
    if resources and not (provider and provider.depends_on_resource):
        known = _ask(scope=scope, action=action, resource=resources[0])
        return [merge(claimed={}, known=known) for _ in resources]
    return [
        gather(scope=scope, action=action, resource=resource, claimed={}) for resource in resources
    ]


def merge(*, claimed: Mapping[str, Fact], known: Mapping[str, Fact]) -> dict[str, Fact]:
    """Defaults, then what the caller claims, then what the provider knows."""
    for name, value in claimed.items():
        _check(name, value)
        if VOCABULARY[name].from_provider:
            raise UnusableFactError(
                f"the fact {name!r} is about the principal and cannot be claimed by a caller"
            )
    for name, value in known.items():
        _check(name, value)
    return {**DEFAULTS, **claimed, **known}


def _ask(*, scope: Scope, action: Action, resource: Resource) -> Mapping[str, Fact]:
    provider = _providers.get(scope.principal.kind)
    told = provider.ask(scope=scope, action=action, resource=resource) if provider else {}
    is_agent = scope.principal.kind is PrincipalKind.AGENT
    return {**told, "autonomous": is_agent or scope.is_autonomous}


def _check(name: str, value: Fact) -> None:
    kind = VOCABULARY.get(name)
    if kind is None:
        raise UnusableFactError(
            f"the fact {name!r} is unknown; known facts: {', '.join(VOCABULARY)}"
        )
    if not kind.accepts(value):
        wanted = " or ".join(map(repr, sorted(kind.values))) or type(kind.default).__name__
        raise UnusableFactError(f"the fact {name!r} is {value!r}, but must be {wanted}")
