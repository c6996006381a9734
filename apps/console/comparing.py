"""The search lab: what each way of searching finds for the same words, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from apps.context.services import searching
from apps.context.types import Moment, SearchHit, SearchMode
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

LEGS = (SearchMode.HYBRID, SearchMode.DENSE, SearchMode.LEXICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A passage, and at which place and with which score each leg of `LEGS` has it."""

    hit: SearchHit
    found: dict[SearchMode, tuple[int, float]] = field(default_factory=dict)

    @property
    def cells(self) -> list[tuple[int, float] | None]:
        return [self.found.get(leg) for leg in LEGS]


def compare_legs(
    *,
    scope: Scope,
    query: str,
    space: str,
    limit: int,
    as_of: Moment | None,
    where: Mapping[str, Any] | None,
) -> list[Compared]:
    """The best `limit` of each leg: those of the hybrid search first, then what only the others
    found. Raises as a search does.
    """
    rows: dict[int, Compared] = {}
    for leg in LEGS:
        result = searching.search(
            scope=scope,
            query=query,
            spaces=[space],
            limit=limit,
            mode=leg,
            as_of=as_of,
            where=where,
        )
        for place, hit in enumerate(result.hits, start=1):
            row = rows.setdefault(hit.chunk_id, Compared(hit=hit))
            row.found[leg] = (place, hit.score)
    return list(rows.values())


def read_filter(text: str) -> dict[str, Any] | None:
    """A filter as it is typed, in the JSON of the API; None for none. Raises `InvalidInput`."""
    if not text:
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as broken:
        raise InvalidInput(f"The filter is not JSON: {broken}.") from None
    if not isinstance(found, dict):
        raise InvalidInput('The filter is not a JSON object, such as {"team": {"eq": "platform"}}.')
    return found
