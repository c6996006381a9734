"""Carries out `Retrieve`: what the run was shown is journaled word for word, with its citations."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from apps.agents.types import Remembered, Retrieve, Source
from apps.context.services import remembering, searching
from apps.context.types import MemoryBlock
from apps.orchestration import drafts
from apps.orchestration.activation import Activation
from apps.orchestration.steps.failing import record_failure
from octavo.kernel.errors import OctavoError

_SECONDS = 90.0


def retrieve(activation: Activation, decision: Retrieve) -> None:
    began = time.monotonic()
    activation.lease.allow(_SECONDS)
    spaces = list(activation.program.spaces)
    query = decision.query.replace("\x00", " ")[: drafts.LONGEST_QUERY]
    try:
        blocks = () if decision.quote else _remember(activation, decision.step, spaces)
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
            sources=_without(sources, blocks),
            memory=[_remembered(block) for block in blocks],
            as_of=as_of,
            attempt=activation.state.progress(decision.step).attempt + 1,
            took=time.monotonic() - began,
        )
    )


def _remember(activation: Activation, step: str, spaces: list[str]) -> list[MemoryBlock]:
    """Core memory: the blocks of the agent's spaces, whatever the question is."""
    blocks = remembering.recall_core(
        scope=activation.scope, spaces=spaces, agent=activation.run.agent_name, step=step
    )
    return [block for block in blocks if block.text.strip()]


def _remembered(block: MemoryBlock) -> Remembered:
    return Remembered(
        space=block.space,
        name=block.name,
        about=block.about,
        text=block.text,
        revision=block.revision,
        trust=block.trust,
    )


def _without(sources: list[Source], blocks: Sequence[MemoryBlock]) -> list[Source]:
    """What is in the prompt anyway is no source."""
    known = {(block.space, block.key) for block in blocks}
    return [s for s in sources if (s.citation["space"], s.citation["key"]) not in known]


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
