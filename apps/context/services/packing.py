"""Gathers what answers a question into a text of bounded length: nothing twice, every passage
verbatim and cited, in the order of the sources, so that the same sources make the same prefix.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection

from apps.context import chunking, embeddings, queries, sentences
from apps.context.models import Space
from apps.context.services import searching
from apps.context.types import Dropped, DropReason, Packed, Passage, SearchHit, SpaceKind
from octavo.kernel.errors import InvalidInput, Unavailable
from octavo.kernel.scope import Scope

MIN_BUDGET, MAX_BUDGET = 50, 100_000
ALIKE = 0.95  # cosine above which a passage says nothing new
ENTRY_SHARE = 0.5  # of the budget, that one entry may take where others answer as well
WEAK = 0.2  # of the best score; less is noise
_HITS = searching.MAX_LIMIT
_SHORT = 40  # tokens below which a passage is not preferred for being short
_TRIMMED = 6  # passages whose sentences are weighed when the whole no longer fits
_SENTENCES = 27  # embedded in one call together with the question
_DENSE_SHARE = 0.5

_ALIKE = """
SELECT one.id, other.id FROM chunk AS one JOIN chunk AS other
  ON one.id <> other.id AND one.model_id = other.model_id
WHERE one.id = ANY(%(ids)s) AND other.id = ANY(%(ids)s) AND (one.emb <=> other.emb) < %(distance)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A hit, or some sentences of one."""

    hit: SearchHit
    text: str
    start: int
    tokens: int

    @property
    def density(self) -> float:
        return self.hit.score / max(_SHORT, self.tokens)


@dataclass(slots=True)
class _Filling:
    budget: int
    cap: int
    chosen: list[_Part]
    dropped: list[tuple[_Part, DropReason]]

    @property
    def room(self) -> int:
        return self.budget - sum(part.tokens for part in self.chosen)

    def taken_by(self, part: _Part) -> int:
        return sum(p.tokens for p in self.chosen if p.hit.entry_id == part.hit.entry_id)


def pack(*, scope: Scope, query: str, spaces: Sequence[str], budget: int, step: str = "") -> Packed:
    """At most `budget` tokens of what the spaces say about `query`. What was left out is named, so
    that it can be opened.
    """
    if not MIN_BUDGET <= budget <= MAX_BUDGET:
        raise InvalidInput(
            f"A pack of {budget} tokens cannot be made: ask for {MIN_BUDGET} to {MAX_BUDGET}.",
            errors=[{"path": "/budget_tokens", "detail": f"{MIN_BUDGET} to {MAX_BUDGET}"}],
        )
    found = searching.search(scope=scope, query=query, spaces=spaces, limit=_HITS, step=step)
    parts = [_whole(hit) for hit in found.hits]
    several = len({part.hit.entry_id for part in parts}) > 1
    cap = int(budget * ENTRY_SHARE) if several else budget
    filling = _Filling(budget=budget, cap=cap, chosen=[], dropped=[])
    _fill(filling, parts)
    _trim(scope, query, spaces, filling, step)
    chosen = sorted(filling.chosen, key=lambda part: _place(spaces, part))
    return replace(_rendered(chosen), dropped=_dropped(filling), degraded=found.degraded)


def _whole(hit: SearchHit) -> _Part:
    return _part(hit, hit.text, hit.citation.start)


def _part(hit: SearchHit, text: str, start: int) -> _Part:
    cited = hit.citation
    header = f"[999] {cited.space}/{cited.key}, revision {cited.revision}"
    tokens = chunking.count_tokens(header) + chunking.count_tokens(text)
    return _Part(hit=hit, text=text, start=start, tokens=tokens)


def _fill(filling: _Filling, parts: Sequence[_Part]) -> None:
    """Greedily, by score for each token; a passage that says what a better one says is left out."""
    best = max((part.hit.score for part in parts), default=0.0)
    alike = _alike(parts)
    seen: set[int] = set()
    texts: set[str] = set()
    for part in sorted(parts, key=lambda p: (-p.density, p.hit.chunk_id)):
        if part.hit.score < best * WEAK:
            filling.dropped.append((part, DropReason.WEAK))
        elif part.text in texts or seen & alike.get(part.hit.chunk_id, set()):
            filling.dropped.append((part, DropReason.DUPLICATE))
        elif (taken := filling.taken_by(part)) and taken + part.tokens > filling.cap:
            filling.dropped.append((part, DropReason.ENTRY_CAP))
        elif part.tokens > filling.room:
            filling.dropped.append((part, DropReason.BUDGET))
        else:
            filling.chosen.append(part)
            seen.add(part.hit.chunk_id)
            texts.add(part.text)


def _alike(parts: Sequence[_Part]) -> Mapping[int, set[int]]:
    found: dict[int, set[int]] = {}
    with connection.cursor() as cursor:
        ids = [part.hit.chunk_id for part in parts]
        values: dict[str, Any] = {"ids": ids, "distance": 1 - ALIKE}
        cursor.execute(_ALIKE, values)
        for one, other in cursor.fetchall():
            found.setdefault(one, set()).add(other)
    return found


def _trim(scope: Scope, query: str, spaces: Sequence[str], filling: _Filling, step: str) -> None:
    """Use what room is left for the best sentences of passages that no longer fitted."""
    left = [part for part, reason in filling.dropped if reason is DropReason.BUDGET][:_TRIMMED]
    if not left or filling.room < _SHORT:
        return
    pieces = [piece for part in left for piece in _sentences(part)][:_SENTENCES]
    fits = _fits(scope, query, spaces, pieces, step)
    ranked = sorted(
        zip(pieces, fits, strict=True), key=lambda scored: -scored[1] / scored[0].tokens
    )
    for piece, fit in ranked:
        if fit > 0 and piece.tokens <= filling.room:
            filling.chosen.append(piece)


def _sentences(part: _Part) -> Iterator[_Part]:
    for unit in sentences.units(part.text):
        yield _part(part.hit, part.text[unit.start : unit.end], part.start + unit.start)


def _fits(
    scope: Scope, query: str, spaces: Sequence[str], pieces: Sequence[_Part], step: str
) -> list[float]:
    """How well each answers, by its words and, while a model answers, by its meaning."""
    named = Space.objects.filter(project_id=scope.project_id, name__in=spaces)
    values: dict[str, Any] = {
        "query": query,
        "spaces": list(named.values_list("id", flat=True)),
        "kind": SpaceKind.TEXT,
        "texts": [piece.text for piece in pieces],
    }
    with connection.cursor() as cursor:
        cursor.execute(queries.WORD_SHARES, values)
        words = [float(row[0]) for row in cursor.fetchall()]
    try:
        question, *vectors = embeddings.embed_texts(
            scope=scope, texts=[query, *(piece.text for piece in pieces)], step=step
        )
    except Unavailable:
        return words
    near = [
        sum(a * b for a, b in zip(question.values, vector.values, strict=True))
        for vector in vectors
    ]
    return [_DENSE_SHARE * n + (1 - _DENSE_SHARE) * w for n, w in zip(near, words, strict=True)]


def _place(spaces: Sequence[str], part: _Part) -> tuple[int, str, int]:
    cited = part.hit.citation
    return spaces.index(cited.space), cited.key, part.start


def _rendered(parts: Sequence[_Part]) -> Packed:
    """`[1] space/key, revision 3`, then the passage; each numbered as its citation."""
    blocks, citations = [], []
    for number, part in enumerate(parts, start=1):
        cited = replace(part.hit.citation, start=part.start, end=part.start + len(part.text))
        blocks.append(
            f"[{number}] {cited.space}/{cited.key}, revision {cited.revision}\n{part.text}"
        )
        citations.append(Passage(number=number, citation=cited, trust=part.hit.trust))
    text = "\n\n".join(blocks)
    return Packed(text=text, citations=tuple(citations), tokens=chunking.count_tokens(text))


def _dropped(filling: _Filling) -> tuple[Dropped, ...]:
    used = {part.hit.chunk_id for part in filling.chosen}
    return tuple(
        Dropped(citation=part.hit.citation, tokens=part.tokens, reason=reason)
        for part, reason in filling.dropped
        if part.hit.chunk_id not in used
    )
