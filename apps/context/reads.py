"""Which run was shown which revision: what answers "who relied on this?"."""

from collections.abc import Iterable
from uuid import UUID

from apps.context import lineage
from apps.context.models import Entry, ReadLog, Space
from apps.context.types import Reading, SearchHit
from octavo.kernel.scope import Scope


def log_hits(
    *, scope: Scope, step: str, spaces: Iterable[Space], hits: Iterable[SearchHit]
) -> None:
    """Nothing outside of a run."""
    if scope.run_id is None:
        return
    ids = {place.name: place.id for place in spaces}
    ReadLog.objects.bulk_create(
        ReadLog(
            run_id=scope.run_id,
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


def log_whole(
    *, scope: Scope, step: str, space: Space, entries: Iterable[tuple[UUID, int]]
) -> None:
    """Entries, with their revision numbers, that were read as a whole: no chunk, no rank."""
    if scope.run_id is None:
        return
    ReadLog.objects.bulk_create(
        ReadLog(
            run_id=scope.run_id,
            step=step,
            space_id=space.id,
            entry_id=entry_id,
            revision=number,
            chunk_id=0,
            rank=0,
            score=1.0,
        )
        for entry_id, number in entries
    )


def list_of(
    space: Space, key: str, *, revision: int | None, limit: int, before: int | None
) -> list[Reading]:
    """The newest first: what was read through this space."""
    shown = [layer.space.id for layer in lineage.layers_of(space)]
    entries = Entry.objects.filter(space__in=shown, key=key).values_list("id", flat=True)
    found = ReadLog.objects.filter(entry_id__in=list(entries), space_id=space.id)
    if revision is not None:
        found = found.filter(revision=revision)
    if before is not None:
        found = found.filter(id__lt=before)
    return [
        Reading(
            id=row.id,
            run_id=row.run_id,
            step=row.step,
            revision=row.revision,
            chunk_id=row.chunk_id,
            rank=row.rank,
            score=row.score,
            at=row.at,
        )
        for row in found.order_by("-id")[:limit]
    ]
