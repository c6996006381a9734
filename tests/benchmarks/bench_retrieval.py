"""nDCG@10, latency and writing speed of the public context services, on any BEIR-shaped data set.

    OCTAVO_BENCH_RETRIEVAL=folder pytest tests/benchmarks/bench_retrieval.py -m benchmark -s

The folder holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` and `qrels/<split>.tsv`;
OCTAVO_BENCH_SPLIT names the split (default `train`), OCTAVO_BENCH_KIND the kind of space.
"""

import json
import math
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

DATA = os.environ.get("OCTAVO_BENCH_RETRIEVAL", "")
DEPTH = 10

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(not DATA, reason="OCTAVO_BENCH_RETRIEVAL names no folder"),
]


@pytest.fixture
def scope(installation: Any, processes: Any) -> Any:
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, ProviderKind

    name, model = "bench", "all-minilm-l6-v2"
    services.create_provider(
        scope=installation.scope,
        name=name,
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=f"{processes.model().url}/v1",
    )
    services.set_route(
        scope=installation.scope,
        name="embedding",
        kind=ModelKind.EMBEDDING,
        targets=[(name, model)],
    )
    return installation.scope


def test_retrieval(scope: Any, tmp_path: Path) -> None:
    from apps.context.services import ingestion, searching, spaces
    from apps.context.types import SearchMode, SpaceKind

    folder = Path(DATA)
    kind = SpaceKind(os.environ.get("OCTAVO_BENCH_KIND", "text"))
    spaces.create_space(scope=scope, name="bench", kind=kind)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for document in _lines(folder / "corpus.jsonl"):
        text = f"{document['title']}\n\n{document['text']}".strip()
        (corpus / f"{document['_id']}.txt").write_text(text)
    started = time.perf_counter()
    files = ingestion.ingest_paths(scope=scope, space="bench", paths=[corpus])
    elapsed = time.perf_counter() - started
    report: dict[str, Any] = {
        "documents": len(files),
        "chunks": sum(file.chunks for file in files),
        "documents_per_second": round(len(files) / elapsed, 1),
        "chunks_per_second": round(sum(file.chunks for file in files) / elapsed, 1),
    }
    relevant = _judgements(folder)
    texts = {q["_id"]: q["text"] for q in _lines(folder / "queries.jsonl") if q["_id"] in relevant}
    for mode in (SearchMode.HYBRID, SearchMode.DENSE, SearchMode.LEXICAL):
        gains, seconds = [], []
        for query, text in texts.items():
            begun = time.perf_counter()
            hits = searching.search(
                scope=scope, query=text, spaces=["bench"], limit=3 * DEPTH, mode=mode
            ).hits
            seconds.append(time.perf_counter() - begun)
            ranked = list(dict.fromkeys(hit.citation.key.removesuffix(".txt") for hit in hits))[
                :DEPTH
            ]
            gains.append(_ndcg(ranked, relevant[query]))
        report[mode.value] = {
            "ndcg@10": round(statistics.mean(gains), 4),
            "p50_ms": round(statistics.median(seconds) * 1000, 1),
            "p95_ms": round(statistics.quantiles(seconds, n=20)[-1] * 1000, 1),
            "queries": len(gains),
        }
    print(json.dumps(report, indent=1))  # noqa: T201  the result of a benchmark


def _ndcg(ranked: list[str], relevant: dict[str, int]) -> float:
    gain = sum(relevant.get(key, 0) / math.log2(n + 2) for n, key in enumerate(ranked))
    best = sorted(relevant.values(), reverse=True)[:DEPTH]
    return gain / sum(value / math.log2(n + 2) for n, value in enumerate(best))


def _judgements(folder: Path) -> dict[str, dict[str, int]]:
    split = os.environ.get("OCTAVO_BENCH_SPLIT", "train")
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            found[query][document] = int(grade)
    return found


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open() as file:
        yield from map(json.loads, file)
