"""The built-in model server as a process, over its real protocol, with the real models."""

import base64
import http.client
import json
import math
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from apps.inference.builtin.options import STARTER_FILE

ROOT = Path(__file__).parents[3]
MODELS = Path(os.environ.get("OCTAVO_MODELS_DIR") or Path.home() / ".cache/octavo/models")
NEEDED = (MODELS / STARTER_FILE, MODELS / "minilm" / "tokenizer.json")
COMMAND = (sys.executable, "-m", "apps.inference.builtin")
CHAT = "smollm2-135m-instruct"
EMBEDDING = "all-minilm-l6-v2"

needs_models = pytest.mark.skipif(
    not all(path.is_file() for path in NEEDED),
    reason=f"the built-in models are not in {MODELS}; set OCTAVO_MODELS_DIR",
)


class Server:
    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self.port = port

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, raw = self.call_raw(method, path, None if body is None else json.dumps(body))
        return status, json.loads(raw)

    def call_raw(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def chat(self, content: str, **fields: Any) -> tuple[int, Any]:
        body = {"model": CHAT, "messages": [{"role": "user", "content": content}], **fields}
        return self.call("POST", "/v1/chat/completions", body)

    def embed(self, texts: Any, **fields: Any) -> tuple[int, Any]:
        body = {"model": EMBEDDING, "input": texts, **fields}
        return self.call("POST", "/v1/embeddings", body)


@contextmanager
def running(models_dir: Path) -> Iterator[Server]:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--models-dir", str(models_dir), "--context-tokens", "512"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        found = re.search(r"listens on 127\.0\.0\.1:(\d+)", process.stderr.readline())
        assert found, "the server did not say where it listens"
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield Server(process, int(found[1]))
    finally:
        process.kill()
        process.wait(timeout=10)
        drain.join(timeout=10)
        process.stderr.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(MODELS) as started:
        yield started


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


@needs_models
def test_a_request_that_comes_while_the_model_loads_is_answered(server: Server) -> None:
    status, health = server.call("GET", "/health")
    assert (status, health["status"]) == (200, "ok")
    status, answer = server.chat("Hello", max_tokens=4)
    assert (status, answer["usage"]["completion_tokens"]) == (200, 4)
    status, health = server.call("GET", "/health")
    assert health["chat"] == {"model": CHAT, "state": "ready", "detail": ""}


@needs_models
def test_the_models_are_listed_under_the_names_requests_use(server: Server) -> None:
    status, listed = server.call("GET", "/v1/models")
    assert (status, [model["id"] for model in listed["data"]]) == (200, [CHAT, EMBEDDING])
    assert server.call("GET", f"/v1/models/{CHAT}")[0] == 200
    assert server.call("GET", "/v1/models/other")[0] == 404


@needs_models
def test_the_same_seed_gives_the_same_answer_and_a_stop_word_ends_it(server: Server) -> None:
    fields = {"max_tokens": 24, "temperature": 0.8, "seed": 11}
    first, second = (
        server.chat("Tell me about the sea.", **fields)[1]["choices"][0] for _ in range(2)
    )
    assert first["message"]["content"] == second["message"]["content"]
    word = first["message"]["content"].split()[2]
    _, answer = server.chat("Tell me about the sea.", stop=[word], **fields)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert word not in answer["choices"][0]["message"]["content"]


@needs_models
def test_a_stream_is_events_of_chunks_then_usage_then_done(server: Server) -> None:
    body = {
        "messages": [{"role": "user", "content": "Say hi"}],
        "max_tokens": 6,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    status, text = server.call_raw("POST", "/v1/chat/completions", json.dumps(body))
    events = text.split("\n\n")
    assert status == 200
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 6


@needs_models
def test_a_json_schema_constrains_the_answer(server: Server) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "count": {"enum": [1, 2, 3]}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    format = {"type": "json_schema", "json_schema": {"name": "pick", "schema": schema}}
    _, answer = server.chat("Pick one.", max_tokens=120, response_format=format, seed=3)
    picked = json.loads(answer["choices"][0]["message"]["content"])
    assert picked["colour"] in {"red", "green"}
    assert picked["count"] in {1, 2, 3}


@needs_models
def test_a_prompt_past_the_window_is_openais_context_length_error(server: Server) -> None:
    status, answer = server.chat("word " * 600, max_tokens=4)
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


@needs_models
def test_two_long_chats_at_once_each_have_their_own_window(server: Server) -> None:
    answers: list[tuple[int, Any]] = []

    def ask(word: str) -> None:
        answers.append(server.chat(f"{word} " * 260, max_tokens=8))

    threads = [threading.Thread(target=ask, args=(word,)) for word in ("sea", "sky")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [status for status, _ in answers] == [200, 200]


@needs_models
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", "{bad", 400),
        ("/v1/chat/completions", "[]", 400),
        ("/v1/chat/completions", '{"messages": "x"}', 400),
        ("/v1/chat/completions", '{"messages": [{"role": 1, "content": 2}]}', 400),
        ("/v1/chat/completions", '{"messages": [{"role": "user"}], "temperature": "x"}', 400),
        ("/v1/chat/completions", '{"messages": [{"role": "user"}], "model": "other"}', 404),
        ("/v1/embeddings", '{"input": {}}', 400),
        ("/tokenize", '{"content": 3}', 400),
        ("/nowhere", "{}", 404),
    ],
)
def test_a_wrong_request_gets_an_error_object(
    server: Server, path: str, body: str, status: int
) -> None:
    answered, raw = server.call_raw("POST", path, body)
    error = json.loads(raw)["error"]
    assert (answered, error["type"]) == (status, "invalid_request_error")
    assert error["message"]


@needs_models
def test_tools_are_refused_by_a_model_that_would_ignore_them(server: Server) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    status, answer = server.chat("Look it up.", tools=[tool], max_tokens=4)
    assert (status, answer["error"]["param"]) == (400, "tools")


@needs_models
def test_a_client_that_hangs_up_ends_its_generation(server: Server) -> None:
    server.chat("Warm up.", max_tokens=1)
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": "Write a very long story."}],
            "max_tokens": 4000,
            "logit_bias": [[2, False]],  # never the end-of-turn token
            "stream": True,
        }
    )
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall((request + body).encode())
    received = b""
    while received.count(b"data: ") < 3:
        received += connection.recv(4096)
    connection.close()
    process = psutil.Process(server.process.pid)

    def is_idle() -> bool:
        return process.cpu_percent(interval=0.3) < 5

    wait_until(is_idle, seconds=10)


@needs_models
def test_embeddings_are_unit_vectors_in_the_order_asked(server: Server) -> None:
    texts = ["a cat sat on the mat", "quarterly revenue grew " * 30, "a kitten on the rug", ""]
    _, answer = server.embed(texts)
    vectors = [row["embedding"] for row in answer["data"]]
    assert [row["index"] for row in answer["data"]] == [0, 1, 2, 3]
    assert {len(vector) for vector in vectors} == {384}
    assert all(math.isclose(math.hypot(*vector), 1, abs_tol=1e-4) for vector in vectors)
    assert math.sumprod(vectors[0], vectors[2]) > math.sumprod(vectors[0], vectors[1]) + 0.3
    _, alone = server.embed(texts[0], encoding_format="base64")
    decoded = struct.unpack("<384f", base64.b64decode(alone["data"][0]["embedding"]))
    assert math.sumprod(vectors[0], decoded) > 0.9999
    assert alone["usage"]["prompt_tokens"] == 8


@needs_models
def test_too_many_inputs_are_refused_with_the_limit(server: Server) -> None:
    status, answer = server.embed(["x"] * 257)
    assert (status, answer["error"]["param"]) == (400, "input")
    assert "256" in answer["error"]["message"]


@needs_models
def test_a_query_overtakes_a_large_batch(server: Server) -> None:
    document = "the quick brown fox jumps over the lazy dog " * 20
    finished: list[str] = []

    def embed_many() -> None:
        server.embed([document + str(number) for number in range(48)])
        finished.append("batch")

    server.embed("warm up")
    batch = threading.Thread(target=embed_many)
    batch.start()
    for _ in range(3):
        server.embed("how do I rotate a key?")
        finished.append("query")
    batch.join(timeout=60)
    assert finished == ["query", "query", "query", "batch"]


@needs_models
def test_tokens_are_counted_by_each_models_own_tokenizer(server: Server) -> None:
    def count(model: str) -> int:
        body = {"content": "hello world", "model": model}
        return len(server.call("POST", "/tokenize", body)[1]["tokens"])

    assert (count(EMBEDDING), count(CHAT)) == (2, 2)
    long = {"content": "word " * 1000, "model": EMBEDDING}
    assert len(server.call("POST", "/tokenize", long)[1]["tokens"]) == 1000


def test_without_its_files_the_server_lives_and_names_them(tmp_path: Path) -> None:
    with running(tmp_path) as bare:
        status, health = bare.call("GET", "/health")
        assert (status, health["chat"]["state"], health["embedding"]["state"]) == (
            200,
            "missing",
            "missing",
        )
        for status, answer in (bare.chat("Hello"), bare.embed("hello")):
            assert status == 503
            assert str(tmp_path) in answer["error"]["message"]
            assert "make up" in answer["error"]["message"]


def test_a_broken_model_file_is_reported_and_does_not_end_the_server(tmp_path: Path) -> None:
    (tmp_path / STARTER_FILE).write_bytes(b"GGUF but not really")
    with running(tmp_path) as broken:
        status, answer = broken.chat("Hello")
        assert (status, answer["error"]["code"]) == (503, "model_failed")
        assert broken.call("GET", "/health")[1]["chat"]["state"] == "failed"


def test_sigterm_ends_the_process_with_status_0(tmp_path: Path) -> None:
    with running(tmp_path) as stopping:
        stopping.process.send_signal(signal.SIGTERM)
        assert stopping.process.wait(timeout=5) == 0
