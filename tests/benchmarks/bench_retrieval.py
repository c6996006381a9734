"""nDCG@10 and latency of search over REST, and the speed of ingestion, on any BEIR-shaped data set.

    OCTAVO_BENCH_RETRIEVAL=folder pytest tests/benchmarks/bench_retrieval.py -m benchmark -s

It writes `out/bench_retrieval.json`. `default` is a search that leaves everything out but its words
and spaces; `pack of` shows what a budget of tokens keeps; `model alone` is a model server that has
the same texts and nothing else to do. The folder holds `corpus.jsonl` (`_id`, `title`, `text`),
`queries.jsonl` and `qrels/<split>.tsv`; OCTAVO_BENCH_SPLIT names the split (default `train`),
OCTAVO_BENCH_KIND the kind of space.
"""

import json
import math
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, KeysView
from itertools import batched
from pathlib import Path
from typing import Any

import httpx2
import pytest

from octavo.devserver.processes import ROOT

DATA = os.environ.get("OCTAVO_BENCH_RETRIEVAL", "")
DEPTH = 10
ALONE = 640  # texts
BUDGETS = (250, 500, 1000, 2000)  # tokens of a pack
PACKED = 100  # queries that are packed

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


def test_retrieval(scope: Any, installation: Any, processes: Any, tmp_path: Path) -> None:
    from apps.context.services import spaces
    from apps.context.types import SpaceKind

    kind = SpaceKind(os.environ.get("OCTAVO_BENCH_KIND", "text"))
    spaces.create_space(scope=scope, name="bench", kind=kind)
    corpus = _corpus(Path(DATA), tmp_path)
    report: dict[str, Any] = {"ingested": _ingest(scope, corpus), "again": _ingest(scope, corpus)}
    report["model alone"] = _embed_alone(processes.model().url)
    relevant = _judgements(Path(DATA))
    queries = _lines(Path(DATA) / "queries.jsonl")
    texts = {q["_id"]: q["text"] for q in queries if q["_id"] in relevant}
    web = processes.web(timeout=120)
    key = {"Authorization": f"Bearer {installation.issued_key.secret}"}
    with httpx2.Client(base_url=web.url, headers=key, timeout=60) as client:
        for mode in ("default", "dense", "lexical"):
            asked = {} if mode == "default" else {"mode": mode}
            report[mode] = _measure(client, texts, relevant, asked)
        for budget in BUDGETS:
            report[f"pack of {budget}"] = _measure_pack(client, texts, relevant, budget)
    assert report["again"]["embedded"] == 0
    out = Path(os.environ.get("OCTAVO_BENCH_OUT", ROOT / "out")) / "bench_retrieval.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))  # noqa: T201  the result of a benchmark


def _corpus(folder: Path, place: Path) -> Path:
    """The documents as files."""
    corpus = place / "corpus"
    corpus.mkdir()
    for document in _lines(folder / "corpus.jsonl"):
        text = f"{document['title']}\n\n{document['text']}".strip()
        (corpus / f"{document['_id']}.txt").write_text(text)
    return corpus


def _ingest(scope: Any, corpus: Path) -> dict[str, Any]:
    """How fast, and how many texts were embedded for it."""
    from apps.context.models import Embedding
    from apps.context.services import ingestion

    before, started = Embedding.objects.count(), time.perf_counter()
    files = ingestion.ingest_paths(scope=scope, space="bench", paths=[corpus])
    elapsed = time.perf_counter() - started
    return {
        "documents": len(files),
        "documents_per_second": round(len(files) / elapsed, 1),
        "chunks": sum(file.chunks for file in files),
        "chunks_per_second": round(sum(file.chunks for file in files) / elapsed, 1),
        "embedded": Embedding.objects.count() - before,
    }


def _embed_alone(url: str) -> dict[str, float]:
    from apps.context import embeddings
    from apps.context.chunking import Piece
    from apps.context.models import Blob

    blobs = Blob.objects.order_by("hash")[:ALONE]
    texts = [Piece(text=blob.text, heading=blob.heading, start=0).indexed for blob in blobs]
    begun, tokens = time.perf_counter(), 0
    with httpx2.Client(timeout=120) as client:
        for batch in batched(texts, embeddings.BATCH):
            asked = {"model": "all-minilm-l6-v2", "input": list(batch)}
            answer = client.post(f"{url}/v1/embeddings", json=asked)
            assert answer.status_code == 200, answer.text
            tokens += answer.json()["usage"]["prompt_tokens"]
    return {
        "chunks_per_second": round(len(texts) / (time.perf_counter() - begun), 1),
        "tokens_per_chunk": round(tokens / len(texts)),
    }


def _measure(
    client: httpx2.Client,
    texts: dict[str, str],
    relevant: dict[str, dict[str, int]],
    asked: dict[str, str],
) -> dict[str, Any]:
    gains, seconds = [], []
    for query, text in texts.items():
        begun = time.perf_counter()
        body = {"query": text, "spaces": ["bench"], "k": 3 * DEPTH, **asked}
        answer = client.post("/api/v1/context/search", json=body)
        seconds.append(time.perf_counter() - begun)
        assert answer.status_code == 200, answer.text
        keys = list(_keys(answer.json()["results"]))
        gains.append(_ndcg(keys[:DEPTH], relevant[query]))
    return {
        "ndcg@10": round(statistics.mean(gains), 4),
        "p50_ms": round(statistics.median(seconds) * 1000, 1),
        "p95_ms": round(statistics.quantiles(seconds, n=20)[-1] * 1000, 1),
        "queries": len(gains),
    }


def _measure_pack(
    client: httpx2.Client, texts: dict[str, str], relevant: dict[str, dict[str, int]], budget: int
) -> dict[str, float]:
    """`kept` of the relevant documents that were found, with `tokens`, which are the share
    `of_found` of all that was found.
    """
    found, kept, tokens, shares, seconds = 0, 0, [], [], []
    for query, text in list(texts.items())[:PACKED]:
        begun = time.perf_counter()
        body = {"query": text, "spaces": ["bench"], "budget_tokens": budget}
        answer = client.post("/api/v1/context/pack", json=body)
        seconds.append(time.perf_counter() - begun)
        assert answer.status_code == 200, answer.text
        packed = answer.json()
        left = sum(place["tokens"] for place in packed["dropped"])
        tokens.append(packed["tokens"])
        shares.append(packed["tokens"] / (packed["tokens"] + left))
        cited, dropped = _keys(packed["citations"]), _keys(packed["dropped"])
        found += len((cited | dropped) & relevant[query].keys())
        kept += len(cited & relevant[query].keys())
    return {
        "kept": round(kept / found, 3),
        "tokens": round(statistics.mean(tokens)),
        "of_found": round(statistics.mean(shares), 3),
        "p50_ms": round(statistics.median(seconds) * 1000, 1),
    }


def _keys(places: Iterable[dict[str, Any]]) -> KeysView[str]:
    """The documents that are named, in that order."""
    return dict.fromkeys(place["key"].removesuffix(".txt") for place in places).keys()


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
