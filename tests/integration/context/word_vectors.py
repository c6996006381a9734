"""An embedding server that speaks the real protocol and whose vectors follow from the words;
it also reranks.
"""

import json
import math
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIMENSIONS = 384


class WordVectors(ThreadingHTTPServer):
    """`POST /v1/embeddings`: texts that share words get similar vectors. Counts what it embeds.

    It answers only while `may_answer` is set.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.is_down = False
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.texts: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: WordVectors
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.is_down:
            self._answer(503, {"error": {"message": "the model is loading"}})
            return
        if self.path.endswith("/rerank"):
            self._answer(200, {"results": self._judged(body)})
            return
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        self.server.texts += texts
        self.server.may_answer.wait(10)
        data = [
            {"object": "embedding", "index": place, "embedding": vector_of(text)}
            for place, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        self._answer(200, {"object": "list", "model": body["model"], "data": data, "usage": usage})

    def _judged(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """As a reranker: the more often a text holds the first word of the question, the better."""
        word = body["query"].split()[0].lower()
        counts = [text.lower().count(word) for text in body["documents"]]
        order = sorted(range(len(counts)), key=lambda place: -counts[place])
        return [{"index": place, "relevance_score": counts[place] - 2.0} for place in order]

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:
        pass


def vector_of(text: str) -> list[float]:
    vector = [0.0] * DIMENSIONS
    vector[0] = 0.05
    for word in text.lower().split():
        vector[zlib.crc32(word.strip(".,:?!").encode()) % DIMENSIONS] += 1.0
    norm = math.sqrt(sum(value * value for value in vector))
    return [value / norm for value in vector]


def add_reranker(scope: Any, *, url: str, name: str) -> None:
    """A route `name` to a reranker served at `url`."""
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, ProviderKind

    services.create_provider(
        scope=scope, name=name, kind=ProviderKind.OPENAI_COMPATIBLE, base_url=url
    )
    services.add_model(scope=scope, provider=name, name=name, kind=ModelKind.RERANK)
    services.set_route(scope=scope, name=name, kind=ModelKind.RERANK, targets=[(name, name)])


def point_embedding_at(scope: Any, *, url: str, name: str) -> None:
    """Make `name`, served at `url`, the model of the route `embedding`."""
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, ProviderKind

    services.create_provider(
        scope=scope, name=name, kind=ProviderKind.OPENAI_COMPATIBLE, base_url=url
    )
    services.add_model(
        scope=scope, provider=name, name=name, kind=ModelKind.EMBEDDING, dimensions=DIMENSIONS
    )
    services.set_route(
        scope=scope, name="embedding", kind=ModelKind.EMBEDDING, targets=[(name, name)]
    )
