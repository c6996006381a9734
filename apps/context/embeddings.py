"""What a model makes of a text is computed once per organisation and never inside a transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import batched
from uuid import UUID

from django.db import connection

from apps.inference.services import embedding
from apps.model_registry import selectors as registry
from octavo.kernel.errors import Unavailable
from octavo.kernel.scope import SYSTEM, PrincipalKind, Scope

ROUTE = "embedding"
BATCH = 64
TIMEOUT = 120.0
_ATTEMPTS = 3

_KNOWN = """
SELECT hash FROM embedding WHERE organisation_id = %s AND model_id = %s AND hash = ANY(%s)
"""
_KEEP = """
INSERT INTO embedding (organisation_id, model_id, hash, emb)
SELECT %s, %s, new.hash, new.emb::halfvec
FROM unnest(%s::bytea[], %s::text[]) AS new (hash, emb)
ORDER BY new.hash
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Every text asked for now has a vector of `model_id`; those of `fresh` are new."""

    model_id: UUID
    fresh: frozenset[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryVector:
    """`model_id` says which chunks it may be compared with."""

    values: tuple[float, ...]
    model_id: UUID

    def literal(self) -> str:
        """As PostgreSQL reads it, in half precision."""
        return _literal(self.values)


def active_model(*, scope: Scope) -> UUID:
    """The model that the route `embedding` calls first. Raises `Unavailable` if it has none."""
    route = registry.get_route(scope=scope, name=ROUTE)
    if not route.targets:
        raise Unavailable(
            f"The route {ROUTE!r} has no model, so text cannot be embedded. Add one under Models."
        )
    return route.targets[0].model.id


def ensure(*, scope: Scope, texts: Mapping[bytes, str], step: str = "") -> Embedded:
    """Embed what is not yet embedded of `texts` (by blob hash) and keep it."""
    model_id, fresh = active_model(scope=scope), set[bytes]()
    for _ in range(_ATTEMPTS):
        missing = _missing(scope, model_id, list(texts))
        fresh.update(missing)
        answered = _embed(scope, model_id, {key: texts[key] for key in missing}, step)
        if answered == model_id:
            return Embedded(model_id=model_id, fresh=frozenset(fresh))
        model_id = answered  # a fallback of the route answered: one revision, one model
    raise Unavailable(
        f"The models behind the route {ROUTE!r} take turns, so their vectors cannot be compared. "
        "Try again when its first model is back."
    )


def embed_texts(*, scope: Scope, texts: Sequence[str], step: str = "") -> list[QueryVector]:
    """Vectors for texts that are asked about, not kept. Raises what any model call raises."""
    result = embedding.embed(
        scope=caller(scope), route=ROUTE, texts=list(texts), timeout=TIMEOUT, step=step
    ).result
    return [QueryVector(values=vector, model_id=result.model_id) for vector in result.vectors]


def _embed(scope: Scope, model_id: UUID, texts: Mapping[bytes, str], step: str) -> UUID:
    """The model that answered; stops at the first answer of another one than `model_id`."""
    for batch in batched(texts, BATCH):
        result = embedding.embed(
            scope=caller(scope),
            route=ROUTE,
            texts=[texts[key] for key in batch],
            timeout=TIMEOUT,
            step=step,
        ).result
        _keep(scope, result.model_id, list(batch), result.vectors)
        if result.model_id != model_id:
            return result.model_id
    return model_id


def _missing(scope: Scope, model_id: UUID, hashes: list[bytes]) -> list[bytes]:
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [scope.organisation_id, model_id, hashes])
        known = {bytes(row[0]) for row in cursor.fetchall()}
    return [key for key in hashes if key not in known]


def _keep(
    scope: Scope, model_id: UUID, hashes: list[bytes], vectors: Sequence[Sequence[float]]
) -> None:
    with connection.cursor() as cursor:
        literals = [_literal(vector) for vector in vectors]
        cursor.execute(_KEEP, [scope.organisation_id, model_id, hashes, literals])


def caller(scope: Scope) -> Scope:
    """An agent embeds under its own grants. For everybody else the call is Octavo's own: whoever
    may read or write a space may search or index it, though not call models freely. Usage and
    budgets fall on the same project, key and run.
    """
    if scope.principal.kind is PrincipalKind.AGENT:
        return scope
    return replace(scope, principal=SYSTEM, key_scopes=("*",))


def _literal(vector: Sequence[float]) -> str:
    return "[" + ",".join(f"{value:.6g}" for value in vector) + "]"
