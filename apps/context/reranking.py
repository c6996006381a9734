"""A second opinion on the order of hits, by a model that reads question and passage together."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

from apps.context.embeddings import caller
from apps.context.types import SearchHit
from apps.inference.services import reranking
from octavo.kernel.errors import Unavailable
from octavo.kernel.scope import Scope

log = logging.getLogger(__name__)

CANDIDATES = 50  # hits that are read again


def reorder(
    *, scope: Scope, route: str, query: str, hits: Sequence[SearchHit], step: str
) -> tuple[tuple[SearchHit, ...], tuple[str, ...]]:
    """The hits by what the model says, best first; as they were, and `rerank` named, while it does
    not answer.
    """
    if not hits:
        return (), ()
    texts = [hit.text for hit in hits]
    try:
        result = reranking.rerank(
            scope=caller(scope), route=route, query=query, texts=texts, step=step
        )
    except Unavailable as error:
        log.warning("A search keeps its first order: %s", error)
        return tuple(hits), ("rerank",)
    scores = _shares(result.scores)
    judged = [
        replace(hit, score=score, legs={**hit.legs, "rerank": score})
        for hit, score in zip(hits, scores, strict=True)
    ]
    return tuple(sorted(judged, key=lambda hit: -hit.score)), ()


def _shares(scores: Sequence[float]) -> list[float]:
    """As they are where they are 0 to 1 already; logits through the logistic function."""
    if all(0 <= score <= 1 for score in scores):
        return list(scores)
    return [1 / (1 + math.exp(-max(-60.0, min(60.0, score)))) for score in scores]
