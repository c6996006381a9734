"""Finds and quotes. A search sees only spaces that its caller may read, and what a run was shown is
logged.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from django.db import connection, transaction

from apps.context import (
    access,
    embeddings,
    filters,
    lineage,
    queries,
    quoting,
    reads,
    reranking,
)
from apps.context.embeddings import QueryVector
from apps.context.models import Space
from apps.context.requirements import is_text
from apps.context.types import (
    Citation,
    Moment,
    Quote,
    SearchHit,
    SearchMode,
    SearchResult,
    SpaceKind,
)
from octavo.kernel import sql
from octavo.kernel.errors import InvalidInput, Unavailable
from octavo.kernel.scope import Scope

log = logging.getLogger(__name__)

MAX_LIMIT = 100
MAX_QUERY = 4000
_DENSE_MODES = frozenset({SearchMode.HYBRID, SearchMode.DENSE})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """`moments`: the sequence number at which each space is searched; None is now."""

    query: str
    limit: int
    mode: SearchMode
    moments: tuple[int | None, ...]
    condition: filters.Condition | None = None
    rerank: str = ""


def search(
    *,
    scope: Scope,
    query: str,
    spaces: Sequence[str],
    limit: int = 10,
    mode: SearchMode = SearchMode.HYBRID,
    as_of: Moment | None = None,
    where: Mapping[str, Any] | None = None,
    rerank: str = "",
    step: str = "",
) -> SearchResult:
    """The best chunks for `query`, best first; those of an earlier moment with `as_of`, and only
    those whose revision passes the filter `where`.

    `exact` finds the query as it is written, then in any case. A hybrid search goes on by words
    alone while no embedding model answers, and says so. `rerank` names a route whose model puts the
    best hits in their order. Raises `NotFound` for a space that does not exist or that the caller
    may not read.
    """
    _check(query=query, spaces=spaces, limit=limit, as_of=as_of)
    condition = filters.compile_filter(where)
    places = access.readable_spaces(scope=scope, names=spaces, step=step)
    asked = _Asked(
        query=query,
        limit=limit,
        mode=mode,
        condition=condition,
        moments=tuple(lineage.seq_at(place, as_of) for place in places),
        rerank=rerank,
    )
    return _search(scope, places, asked, step)


def quote(
    *, scope: Scope, query: str, spaces: Sequence[str], limit: int = 3, step: str = ""
) -> tuple[Quote, ...]:
    """The sentences, list items or code blocks that answer `query` best, verbatim, best first.

    Empty when the sources do not answer. Each text is exactly the cited range of its revision.
    """
    _check(query=query, spaces=spaces, limit=limit)
    places = access.readable_spaces(scope=scope, names=spaces, step=step)
    asked = _Asked(
        query=query,
        limit=quoting.CHUNKS,
        mode=SearchMode.HYBRID,
        moments=(None,) * len(places),
    )
    found = _search(scope, places, asked, step)
    return quoting.pick(
        scope=scope,
        query=query,
        spaces=[place.id for place in places],
        hits=found.hits,
        limit=limit,
        step=step,
    )


def _search(scope: Scope, places: Sequence[Space], asked: _Asked, step: str) -> SearchResult:
    vector, degraded = _embedded(scope, places, asked, step)
    if degraded:
        asked = replace(asked, mode=SearchMode.LEXICAL)
    wide = replace(asked, limit=max(asked.limit, reranking.CANDIDATES)) if asked.rerank else asked
    rows = _find(scope, places, wide, vector)
    hits = tuple(_hit(row) for row in rows)
    if asked.rerank:
        hits, unranked = reranking.reorder(
            scope=scope, route=asked.rerank, query=asked.query, hits=hits, step=step
        )
        hits, degraded = hits[: asked.limit], degraded + unranked
    reads.log_hits(scope=scope, step=step, spaces=places, hits=hits)
    present = {place.name: place.seq for place in places} | {r["space"]: r["seq"] for r in rows}
    as_of = {
        place.name: present[place.name] if moment is None else min(moment, place.seq)
        for place, moment in zip(places, asked.moments, strict=True)
    }
    return SearchResult(hits=hits, as_of=as_of, degraded=degraded)


def _embedded(
    scope: Scope, places: Sequence[Space], asked: _Asked, step: str
) -> tuple[QueryVector | None, tuple[str, ...]]:
    """The question's vector, and which leg a hybrid search must do without."""
    if asked.mode not in _DENSE_MODES or not any(place.seq or place.parent for place in places):
        return None, ()
    try:
        (vector,) = embeddings.embed_texts(scope=scope, texts=[asked.query], step=step)
    except Unavailable as error:
        if asked.mode is SearchMode.DENSE:
            raise
        log.warning("A search goes by words alone: %s", error)
        return None, ("dense",)
    return vector, ()


def _check(*, query: str, spaces: Sequence[str], limit: int, as_of: Moment | None = None) -> None:
    errors = []
    if isinstance(as_of, int) and len(set(spaces)) > 1:
        errors.append(
            {"path": "/as_of", "detail": "a time: a sequence number is of one space alone"}
        )
    if not query.strip() or len(query) > MAX_QUERY or not is_text(query):
        errors.append({"path": "/query", "detail": f"1 to {MAX_QUERY} characters of text"})
    if not spaces:
        errors.append({"path": "/spaces", "detail": "name at least one space"})
    if not 1 <= limit <= MAX_LIMIT:
        errors.append({"path": "/k", "detail": f"a number from 1 to {MAX_LIMIT}"})
    if errors:
        detail = "; ".join(f"{error['path'][1:]}: {error['detail']}" for error in errors)
        raise InvalidInput(f"The search cannot be made. {detail}.", errors=errors)


def _find(
    scope: Scope, places: Sequence[Space], asked: _Asked, vector: QueryVector | None
) -> list[dict[str, Any]]:
    if asked.mode in _DENSE_MODES and vector is None:
        return []
    values = _values(scope, places, asked, vector)
    shape = queries.Shape(
        mode=asked.mode,
        limit=asked.limit,
        past=any(moment is not None for moment in asked.moments)
        or any(place.parent_id for place in places),
        condition=asked.condition.sql if asked.condition else "",
        of_chunk=asked.condition.of_chunk if asked.condition else "",
        facts=asked.condition.facts if asked.condition else "",
    )
    width = len(vector.values) if vector else 0
    if width not in queries.INDEXED_DIMENSIONS or shape.past or not _is_large(places):
        return _run(shape, values)
    if shape.condition:
        few = _find_few(places, shape, values)
        if few is not None:
            return few
    approximate = replace(shape, approximate=width)
    rows = _run(approximate, values)
    return rows if rows and rows[0]["found"] >= approximate.pool else _run(shape, values)


def _is_large(places: Sequence[Space]) -> bool:
    """Whether there are more chunks than a scan reads at once."""
    return sum(place.chunk_count for place in places) > queries.EXACT_ROWS


def _find_few(
    places: Sequence[Space], shape: queries.Shape, values: dict[str, Any]
) -> list[dict[str, Any]] | None:
    """What is found if the filter leaves so few that all are scanned; None if it leaves more."""
    few = replace(shape, is_few=True)
    if shape.asks_chunks:
        rows = _run(few, {**values, "most": queries.FILTERED_ROWS})
        return None if rows and rows[0]["chunk_id"] is None else rows
    passing = _few_entries(places, shape, values)
    return None if passing is None else _run(few, {**values, "passing": passing})


def _few_entries(
    places: Sequence[Space], shape: queries.Shape, values: Mapping[str, Any]
) -> str | None:
    """The entries that the filter leaves, as an array; None if they are too many to scan."""
    entries, chunks = (
        sum(getattr(place, column) for place in places) for column in ("entry_count", "chunk_count")
    )
    most = queries.FILTERED_ROWS * entries // chunks
    statement = queries.passing_statement(shape.condition)
    [(count, found)] = _fetch(statement, queries.PLANNED_ONCE, {**values, "most": most + 1})
    return str(found) if count <= most else None


def _values(
    scope: Scope, places: Sequence[Space], asked: _Asked, vector: QueryVector | None
) -> dict[str, Any]:
    layers = [
        (place.name, depth, layer)
        for place, moment in zip(places, asked.moments, strict=True)
        for depth, layer in enumerate(lineage.layers_of(place, moment))
    ]
    return {
        "organisation": scope.organisation_id,
        "names": [name for name, _, _ in layers],
        "depths": [depth for _, depth, _ in layers],
        "seqs": [layer.seq for _, _, layer in layers],
        "spaces": [layer.space.id for _, _, layer in layers],
        "kinds": [layer.space.kind for _, _, layer in layers],
        "weights": [queries.DENSE_WEIGHT[SpaceKind(layer.space.kind)] for _, _, layer in layers],
        "query": asked.query,
        "whole": _whole(asked.query),
        "model": vector.model_id if vector else None,
        "vector": vector.literal() if vector else None,
        **(asked.condition.values if asked.condition else {}),
    }


def _whole(query: str) -> str:
    """A regular expression (PostgreSQL's) for the query where no name goes on around it."""
    escaped = re.sub(r"([^\w\s])", r"\\\1", query, flags=re.ASCII)
    return rf"(^|[^[:alnum:]_]){escaped}($|[^[:alnum:]_])"


def _run(shape: queries.Shape, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = _fetch(queries.search_statement(shape), shape.settings, values)
    return [dict(zip(queries.COLUMNS, row, strict=True)) for row in rows]


def _fetch(statement: str, settings: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(settings)
        return sql.run(statement, **values)


def _hit(row: dict[str, Any]) -> SearchHit:
    """Without the white space around the chunk; the citation is narrowed to match."""
    text = row["text"]
    start = row["start"] + len(text) - len(text.lstrip())
    text = text.strip()
    return SearchHit(
        text=text,
        score=min(1.0, max(0.0, float(row["score"]))),
        citation=Citation(
            space=row["space"],
            key=row["key"],
            revision=row["revision"],
            chunk=row["place"],
            start=start,
            end=start + len(text),
        ),
        entry_id=row["entry_id"],
        chunk_id=row["chunk_id"],
        trust=row["trust"],
        metadata=orjson.loads(row["metadata"]),
        legs={leg: float(row[leg]) for leg in ("dense", "lexical") if row[leg] is not None},
    )
