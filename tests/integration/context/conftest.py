"""Spaces to write to, and two embedding servers that speak the real protocol: the built-in one with
MiniLM, and a scripted one whose vectors follow from the words, which can be switched off.
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.context.word_vectors import WordVectors, point_embedding_at


@pytest.fixture(scope="session")
def word_vectors() -> Iterator[WordVectors]:
    server = WordVectors()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def embedder(word_vectors: WordVectors) -> Iterator[WordVectors]:
    word_vectors.texts.clear()
    yield word_vectors
    word_vectors.is_down = False
    word_vectors.may_answer.set()


@pytest.fixture
def scope(installation: Any, embedder: WordVectors) -> Any:
    """The admin of a fresh installation whose route `embedding` leads to the scripted server."""
    point_embedding_at(installation.scope, url=embedder.url, name="words")
    return installation.scope


@pytest.fixture(scope="session")
def minilm_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The built-in model server with the real embedding model."""
    from octavo.devserver import ports
    from octavo.devserver.processes import (
        child_environment,
        is_ready,
        model_command,
        start_process,
    )

    tokenizer = Path(os.environ["OCTAVO_MODELS_DIR"]) / "minilm" / "tokenizer.json"
    if not tokenizer.exists():
        pytest.skip(f"the embedding model is not on this machine: {tokenizer} is missing")
    url = f"http://127.0.0.1:{(port := ports.free_port())}"
    process = start_process(
        name="model",
        command=model_command(port=port),
        environment=child_environment({}),
        log=tmp_path_factory.mktemp("model") / "model.log",
        url=url,
    )
    try:
        process.wait_until(lambda: is_ready(f"{url}/health"), timeout=90.0)
        yield f"{url}/v1"
    finally:
        process.kill()


@pytest.fixture
def minilm_scope(installation: Any, minilm_url: str) -> Any:
    """The same admin, with real embeddings."""
    point_embedding_at(installation.scope, url=minilm_url, name="all-minilm-l6-v2")
    return installation.scope


@pytest.fixture
def space(scope: Any) -> str:
    from apps.context.services import spaces

    return spaces.create_space(scope=scope, name="notes").name


@pytest.fixture
def write(scope: Any, space: str) -> Callable[..., Any]:
    """`write("key", "text")` into the space `notes`, with a reason."""
    from apps.context.services import writing

    def put(key: str, content: str, **more: Any) -> Any:
        return writing.write_entry(
            scope=scope, space=space, key=key, content=content, **({"why": "test"} | more)
        )

    return put
