"""Who is embedded next: a query waits for at most one batch, never for a document's rest."""

import asyncio
import itertools
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import PriorityQueue

import numpy as np

from apps.inference.builtin.embedding import DIMENSIONS, EmbeddingModel, Tokens, Vectors, truncate
from apps.inference.builtin.loading import return_freed_memory

log = logging.getLogger(__name__)

INTERACTIVE_INPUTS = 2
BATCH_INPUTS = 32
# Padded tokens a batch: past it memory grows and speed falls, and a waiting query waits longer.
BATCH_TOKENS = 512


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Job:
    """Ordered by rank, then arrival. Interactive requests have the lower rank."""

    rank: int
    number: int
    batch: Sequence[Tokens] = field(compare=False)
    result: Future[Vectors] = field(compare=False)


class EmbeddingQueue:
    """Daemon threads, one a core, that take batches in order of rank."""

    def __init__(self, *, model: EmbeddingModel, threads: int) -> None:
        self.model = model
        self._numbers = itertools.count()
        self._jobs: PriorityQueue[_Job] = PriorityQueue()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"embedding-{number}", daemon=True).start()

    async def embed(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        """One unit vector a text, in the order given, and the number of tokens read.

        Cancelling the caller drops the batches that have not begun.
        """
        tokenized = await asyncio.to_thread(self.model.tokenize, texts)
        tokens = [truncate(ids) for ids in tokenized]
        plan = plan_batches([len(ids) for ids in tokens])
        rank = 0 if len(texts) <= INTERACTIVE_INPUTS else 1
        results = [self._submit(rank, [tokens[index] for index in batch]) for batch in plan]
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        for batch, rows in zip(plan, await _gather(results), strict=True):
            vectors[batch] = rows
        return vectors, sum(map(len, tokens))

    def _submit(self, rank: int, batch: Sequence[Tokens]) -> Future[Vectors]:
        result: Future[Vectors] = Future()
        number = next(self._numbers)
        self._jobs.put(_Job(rank=rank, number=number, batch=batch, result=result))
        return result

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if not job.result.set_running_or_notify_cancel():
                continue
            try:
                job.result.set_result(self.model.encode(job.batch))
            except Exception as error:
                log.exception("A batch of %d texts was not embedded", len(job.batch))
                job.result.set_exception(error)
            if job.rank > 0 and self._jobs.empty():
                return_freed_memory()


async def _gather(results: Sequence[Future[Vectors]]) -> list[Vectors]:
    """All results, or the first error. Either way nothing of the request stays queued."""
    try:
        return await asyncio.gather(*map(asyncio.wrap_future, results))
    finally:
        for result in results:
            result.cancel()


def plan_batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indexes of texts of like length, grouped: at most 32 and at most 512 padded tokens a batch.

    A text longer than that alone makes a batch of its own.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Sorted by length, so this text is its batch's widest.
        full = not batches or (
            len(batches[-1]) >= BATCH_INPUTS
            or (len(batches[-1]) + 1) * lengths[index] > BATCH_TOKENS
        )
        if full:
            batches.append([])
        batches[-1].append(index)
    return batches
