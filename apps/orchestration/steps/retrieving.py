"""Carries out `Retrieve`: what the run was shown is journaled word for word, with its citations."""

import time
from collections.abc import Mapping
from dataclasses import asdict

from apps.agents.types import Retrieve, Source
from apps.context.services import searching
from apps.orchestration import drafts
from apps.orchestration.activation import Activation
from apps.orchestration.steps.failing import record_failure
from octavo.kernel.errors import OctavoError

_SECONDS = 90.0
_LONGEST_QUERY = 4000


def retrieve(activation: Activation, decision: Retrieve) -> None:
    began = time.monotonic()
    activation.lease.allow(_SECONDS)
    spaces = list(activation.program.spaces)
    query = decision.query.replace("\x00", " ")[:_LONGEST_QUERY]
    try:
        sources, as_of = _find(activation, decision, query, spaces)
    except (OctavoError, TimeoutError) as error:
        record_failure(activation, decision.step, error, took=time.monotonic() - began)
        return
    activation.record(
        drafts.retrieved(
            decision.step,
            query=query,
            quote=decision.quote,
            spaces=spaces,
            sources=sources,
            as_of=as_of,
            attempt=activation.state.progress(decision.step).attempt + 1,
            took=time.monotonic() - began,
        )
    )


def _find(
    activation: Activation, decision: Retrieve, query: str, spaces: list[str]
) -> tuple[list[Source], Mapping[str, int] | None]:
    scope, step, limit = activation.scope, decision.step, decision.limit
    if decision.quote:
        quotes = searching.quote(scope=scope, query=query, spaces=spaces, limit=limit, step=step)
        found = [
            Source(text=q.text, score=q.score, citation=asdict(q.citation), trust=q.trust)
            for q in quotes
        ]
        return found, None
    result = searching.search(scope=scope, query=query, spaces=spaces, limit=limit, step=step)
    found = [
        Source(text=hit.text, score=hit.score, citation=asdict(hit.citation), trust=hit.trust)
        for hit in result.hits
    ]
    return found, result.as_of
