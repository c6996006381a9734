"""The REST edge as a client sees it: a key, JSON in, JSON out, and a model server that is
scripted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from django.test import Client

from tests.integration.inference.upstream import Upstream, running


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: Any
    headers: Any

    def problem(self) -> dict[str, Any]:
        assert self.headers["Content-Type"] == "application/problem+json"
        assert set(self.body) >= {"type", "title", "status", "detail", "errors"}
        assert self.body["status"] == self.status
        return self.body


class Api:
    """Requests with one key. A body that is not bytes is sent as JSON."""

    def __init__(self, key: str | None) -> None:
        self._client = Client(raise_request_exception=False)
        self._headers = {"Host": "localhost"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "", **headers: str
    ) -> Answer:
        data = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else b""
        sent = {**self._headers, **{name.replace("_", "-"): v for name, v in headers.items()}}
        response = self._client.generic(
            method,
            f"/api/v1/{path}",
            data,
            content_type=content_type or "application/json",
            headers=sent,
        )
        found = orjson.loads(response.content) if response.content else None
        return Answer(status=response.status_code, body=found, headers=response.headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.request("POST", path, {} if body is None else body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Answer:
        return self.request("PUT", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.request("DELETE", path, **headers)

    def upload(
        self,
        address: str,
        files: list[tuple[str, bytes]],
        *,
        idempotency_key: str = "",
        method: str = "POST",
        part: str = "files",
        **fields: Any,
    ) -> Answer:
        boundary = "octavo-test-boundary"
        parts = [_part(boundary, f'name="{part}"; filename="{name}"', data) for name, data in files]
        parts += [
            _part(boundary, f'name="{field}"', str(value).encode())
            for field, values in fields.items()
            for value in values
        ]
        body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
        headers = {"Idempotency_Key": idempotency_key} if idempotency_key else {}
        return self.request(
            method,
            address,
            body,
            content_type=f"multipart/form-data; boundary={boundary}",
            **headers,
        )


def _part(boundary: str, disposition: str, data: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + data + b"\r\n"


@pytest.fixture
def key(installation: Any) -> str:
    """The secret of the first admin's key."""
    secret: str = installation.issued_key.secret
    return secret


@pytest.fixture
def api(key: str) -> Api:
    return Api(key)


@pytest.fixture
def stranger(installation: Any) -> Api:
    """A client without a key."""
    return Api(None)


@pytest.fixture
def with_key(installation: Any) -> Callable[[str], Api]:
    return Api


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running() as server:
        yield server


@pytest.fixture
def models(api: Api, upstream: Upstream) -> Upstream:
    """Routes `default` and `embedding` lead to the scripted server; set up over the API itself."""
    for answer in (
        api.post(
            "models/providers",
            {"name": "lab", "kind": "openai_compatible", "base_url": upstream.url},
        ),
        api.post(
            "models", {"provider": "lab", "name": "chat", "kind": "chat", "native_tools": True}
        ),
        api.post(
            "models", {"provider": "lab", "name": "embed", "kind": "embedding", "dimensions": 2}
        ),
        api.post(
            "models/routes", {"name": "default", "targets": [{"provider": "lab", "model": "chat"}]}
        ),
        api.post(
            "models/routes",
            {
                "name": "embedding",
                "kind": "embedding",
                "targets": [{"provider": "lab", "model": "embed"}],
            },
        ),
    ):
        assert answer.status == 201, answer.body
    return upstream


@pytest.fixture
def agent(api: Api, models: Upstream) -> str:
    """An agent without tools or spaces."""
    answer = api.post(
        "agents", {"name": "clerk", "instructions": "Answer briefly.", "strategy": "tools"}
    )
    assert answer.status == 201, answer.body
    return "clerk"


@pytest.fixture
def advance() -> Callable[[str], None]:
    """Take a run as far as it goes, in this process: what a worker does with the job."""
    from apps.orchestration.services import engine
    from octavo.kernel import ids

    def take(run_id: str) -> None:
        engine.advance(run_id=str(ids.decode(ids.Kind.RUN, run_id)))

    return take
