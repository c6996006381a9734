"""Picks what answers a question from what a search found, verbatim; nothing rather than a guess.

A unit's fit is a blend of its cosine to the question and the share of the question's weight
(inverse document frequency) that its words carry; the words of the heading above it carry half.
What merely repeats the question, as an example may, gains nothing by it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection

from apps.context import embeddings, queries, questions
from apps.context.sentences import Unit, units
from apps.context.types import Citation, Quote, SearchHit, SpaceKind
from octavo.kernel.scope import Scope

CHUNKS = 8
CANDIDATES = 28  # embedded in one call together with the question
COSINE_SHARE = 0.65
THRESHOLD = 0.40
RELATIVE = 0.80  # further quotes must come this close to the best one
ALIKE = 0.93  # cosine above which a second quote says nothing new

_REGIONS = """
SELECT h.place, v.starts[greatest(h.chunk - 1, 1)] AS start,
       (SELECT string_agg(b.text, '' ORDER BY part.place)
        FROM unnest(v.chunks[greatest(h.chunk - 1, 1):h.chunk + 1])
          WITH ORDINALITY AS part (id, place)
        JOIN chunk AS c ON c.id = part.id
        JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = c.hash) AS text,
       (SELECT b.heading FROM chunk AS c
        JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = c.hash
        WHERE c.id = v.chunks[greatest(h.chunk - 1, 1)]) AS heading
FROM unnest(%(entries)s::uuid[], %(revisions)s::int[], %(chunks)s::int[])
  WITH ORDINALITY AS h (entry_id, number, chunk, place)
JOIN revision AS v ON v.entry_id = h.entry_id AND v.number = h.number
ORDER BY h.place
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A unit with its place in the revision; `said` is its text without an echo of the question.

    Whether it answers at all is told by `fit`; which answer is best by `score`, which adds what the
    form of the question says.
    """

    hit: SearchHit
    unit: Unit
    text: str
    said: str
    context: str
    lexical: float = 0.0
    fit: float = 0.0
    score: float = 0.0
    vector: Sequence[float] = ()

    @property
    def scored(self) -> str:
        """What is compared with the question."""
        return f"{self.context}\n{self.said}" if self.context else self.said


def pick(
    *,
    scope: Scope,
    query: str,
    spaces: Sequence[UUID],
    hits: Sequence[SearchHit],
    limit: int,
    step: str = "",
) -> tuple[Quote, ...]:
    """At most `limit` quotes, best first; none whose fit is below the threshold."""
    candidates = _score_words(query, spaces, _candidates(scope, query, hits))
    ranked = sorted(candidates, key=lambda c: -(c.lexical + c.hit.score / 2))[: CANDIDATES - 1]
    if not ranked:
        return ()
    texts = [query, *(candidate.scored for candidate in ranked)]
    question, *vectors = embeddings.embed_texts(scope=scope, texts=texts, step=step)
    scored = [
        _score(query, question.values, replace(candidate, vector=vector.values))
        for candidate, vector in zip(ranked, vectors, strict=True)
    ]
    chosen = _choose(sorted(scored, key=lambda c: -c.score), limit)
    return tuple(_quote(candidate) for candidate in chosen)


def _score(query: str, question: Sequence[float], candidate: _Candidate) -> _Candidate:
    cosine = _cosine(question, candidate.vector)
    fit = COSINE_SHARE * cosine + (1 - COSINE_SHARE) * candidate.lexical
    score = fit + questions.fitness(question=query, answer=candidate.said)
    return replace(candidate, fit=fit, score=min(1.0, max(0.0, score)))


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _candidates(scope: Scope, query: str, hits: Sequence[SearchHit]) -> list[_Candidate]:
    """The units that touch a hit, each once, cut from the hit and its two neighbours so that
    nothing is torn at a chunk's edge.
    """
    values: dict[str, Any] = {
        "organisation": scope.organisation_id,
        "entries": [hit.entry_id for hit in hits],
        "revisions": [hit.citation.revision for hit in hits],
        "chunks": [hit.citation.chunk for hit in hits],
    }
    with connection.cursor() as cursor:
        cursor.execute(_REGIONS, values)
        regions = cursor.fetchall()
    found: dict[tuple[str, str, int, int], _Candidate] = {}
    for place, start, text, heading in regions:
        hit = hits[place - 1]
        for unit in units(text, heading=heading.rsplit(" > ", 1)[-1]):
            moved = replace(unit, start=unit.start + start, end=unit.end + start)
            if moved.end <= hit.citation.start or moved.start >= hit.citation.end:
                continue
            key = (hit.citation.space, hit.citation.key, moved.start, moved.end)
            quoted = text[unit.start : unit.end]
            said = _without_echo(quoted, query)
            if said.endswith("?"):
                continue  # a question is no answer
            candidate = _Candidate(
                hit=hit, unit=moved, text=quoted, said=said, context=_context(unit, quoted)
            )
            found.setdefault(key, candidate)
    return list(found.values())


def _context(unit: Unit, text: str) -> str:
    """What a reader has just read: the heading, and the line that leads to the unit."""
    lead = unit.lead if unit.lead not in text else ""
    return "\n".join(part for part in (unit.heading, lead) if part)


def _without_echo(text: str, query: str) -> str:
    words = r"\s+".join(map(re.escape, query.split()))
    return re.sub(words, " ", text, flags=re.IGNORECASE).strip()


def _score_words(
    query: str, spaces: Sequence[UUID], candidates: Sequence[_Candidate]
) -> list[_Candidate]:
    """With `lexical` set: the weighted share of the question's words that each unit holds."""
    if not candidates:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            queries.WORD_SHARES,
            {
                "query": query,
                "spaces": list(spaces),
                "kind": SpaceKind.TEXT,
                "texts": [c.said for c in candidates] + [c.scored for c in candidates],
            },
        )
        shares = [float(row[0]) for row in cursor.fetchall()]
    alone, in_context = shares[: len(candidates)], shares[len(candidates) :]
    return [
        replace(candidate, lexical=(one + other) / 2)
        for candidate, one, other in zip(candidates, alone, in_context, strict=True)
    ]


def _choose(ranked: Sequence[_Candidate], limit: int) -> list[_Candidate]:
    """The best, and others close to it that say something else."""
    answers = [candidate for candidate in ranked if candidate.fit >= THRESHOLD]
    chosen: list[_Candidate] = []
    for candidate in answers:
        is_close = candidate.score >= answers[0].score * RELATIVE
        if is_close and all(_says_more(candidate, other) for other in chosen):
            chosen.append(candidate)
        if len(chosen) == limit:
            break
    return chosen


def _says_more(candidate: _Candidate, other: _Candidate) -> bool:
    short, long = sorted((candidate.said.rstrip(".:"), other.said), key=len)
    return short not in long and _cosine(candidate.vector, other.vector) < ALIKE


def _quote(candidate: _Candidate) -> Quote:
    place = candidate.hit.citation
    return Quote(
        text=candidate.text,
        score=candidate.score,
        citation=Citation(
            space=place.space,
            key=place.key,
            revision=place.revision,
            chunk=place.chunk,
            start=candidate.unit.start,
            end=candidate.unit.end,
        ),
        trust=candidate.hit.trust,
    )
