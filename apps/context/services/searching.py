"""Finds and quotes. A search sees only spaces that its caller may read, and what a run was shown is
logged.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction

from apps.context import access, embeddings, queries, quoting
from apps.context.embeddings import QueryVector
from apps.context.models import ReadLog, Space
from apps.context.types import Citation, Quote, SearchHit, SearchMode, SearchResult, SpaceKind
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

MAX_LIMIT = 100
MAX_QUERY = 4000


def search(
    *,
    scope: Scope,
    query: str,
    spaces: Sequence[str],
    limit: int = 10,
    mode: SearchMode = SearchMode.HYBRID,
    step: str = "",
) -> SearchResult:
    """The best chunks for `query`, best first. `exact` finds the query as a substring, whatever its
    case.

    Raises `NotFound` for a space that does not exist or that the caller may not read.
    """
    _check(query=query, spaces=spaces, limit=limit)
    places = access.readable_spaces(scope=scope, names=spaces, step=step)
    return _search(scope, places, query=query, limit=limit, mode=mode, step=step)


def quote(
    *, scope: Scope, query: str, spaces: Sequence[str], limit: int = 3, step: str = ""
) -> tuple[Quote, ...]:
    """The sentences, list items or code blocks that answer `query` best, verbatim, best first.

    Empty when the sources do not answer. Each text is exactly the cited range of its revision.
    """
    _check(query=query, spaces=spaces, limit=limit)
    places = access.readable_spaces(scope=scope, names=spaces, step=step)
    found = _search(
        scope, places, query=query, limit=quoting.CHUNKS, mode=SearchMode.HYBRID, step=step
    )
    return quoting.pick(
        scope=scope,
        query=query,
        spaces=[place.id for place in places],
        hits=found.hits,
        limit=limit,
        step=step,
    )


def _search(
    scope: Scope, places: Sequence[Space], *, query: str, limit: int, mode: SearchMode, step: str
) -> SearchResult:
    vector = None
    if mode in {SearchMode.HYBRID, SearchMode.DENSE} and any(p.chunk_count for p in places):
        (vector,) = embeddings.embed_texts(scope=scope, texts=[query], step=step)
    rows = _find(scope, places, query, vector, limit, mode)
    hits = tuple(_hit(row) for row in rows)
    if scope.run_id is not None:
        _log(scope.run_id, step, places, hits)
    as_of = {place.name: place.seq for place in places} | {row["space"]: row["seq"] for row in rows}
    return SearchResult(hits=hits, as_of=as_of)


def _check(*, query: str, spaces: Sequence[str], limit: int) -> None:
    errors = []
    if not query.strip() or len(query) > MAX_QUERY or "\x00" in query:
        errors.append({"path": "/query", "detail": f"1 to {MAX_QUERY} characters of text"})
    if not spaces:
        errors.append({"path": "/spaces", "detail": "name at least one space"})
    if not 1 <= limit <= MAX_LIMIT:
        errors.append({"path": "/k", "detail": f"a number from 1 to {MAX_LIMIT}"})
    if errors:
        detail = "; ".join(f"{error['path'][1:]}: {error['detail']}" for error in errors)
        raise InvalidInput(f"The search cannot be made. {detail}.", errors=errors)


def _find(
    scope: Scope,
    places: Sequence[Space],
    query: str,
    vector: QueryVector | None,
    limit: int,
    mode: SearchMode,
) -> list[dict[str, Any]]:
    if mode in {SearchMode.HYBRID, SearchMode.DENSE} and vector is None:
        return []
    values = {
        "organisation": scope.organisation_id,
        "spaces": [place.id for place in places],
        "kinds": [place.kind for place in places],
        "weights": [queries.DENSE_WEIGHT[SpaceKind(place.kind)] for place in places],
        "query": query,
        "limit": limit,
        "pool": max(queries.POOL, limit),
        "model": vector.model_id if vector else None,
        "vector": vector.literal() if vector else None,
    }
    visible = sum(place.chunk_count for place in places)
    width = len(vector.values) if vector else 0
    if visible > queries.EXACT_ROWS and width in queries.INDEXED_DIMENSIONS:
        rows = _run(mode, values, approximate=width)
        if rows and rows[0]["found"] >= values["pool"]:
            return rows
    return _run(mode, values)


def _run(
    mode: SearchMode, values: dict[str, Any], *, approximate: int | None = None
) -> list[dict[str, Any]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        if approximate:
            cursor.execute(queries.APPROXIMATE_SETTINGS)
        cursor.execute(queries.search_statement(mode, approximate=approximate), values)
        return [dict(zip(queries.COLUMNS, row, strict=True)) for row in cursor.fetchall()]


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
    )


def _log(run_id: UUID, step: str, places: Sequence[Space], hits: Sequence[SearchHit]) -> None:
    ids = {place.name: place.id for place in places}
    ReadLog.objects.bulk_create(
        ReadLog(
            run_id=run_id,
            step=step,
            space_id=ids[hit.citation.space],
            entry_id=hit.entry_id,
            revision=hit.citation.revision,
            chunk_id=hit.chunk_id,
            rank=rank,
            score=hit.score,
        )
        for rank, hit in enumerate(hits, start=1)
    )
