"""A retried create never creates twice."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections


def test_the_same_key_gets_the_same_answer(api: Any, agent: str) -> None:
    body = {"agent": "clerk", "input": "Hello?"}
    first = api.post("runs", body, Idempotency_Key="k1")
    again = api.post("runs", body, Idempotency_Key="k1")
    assert (again.status, again.body) == (201, first.body)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(api.get("runs").body["items"]) == 1


def test_a_key_belongs_to_one_request(api: Any, agent: str) -> None:
    api.post("runs", {"agent": "clerk", "input": "Hello?"}, Idempotency_Key="k1")
    other = api.post("runs", {"agent": "clerk", "input": "Other?"}, Idempotency_Key="k1")
    assert other.problem()["status"] == 409


def test_a_refused_request_leaves_its_key_free(api: Any, models: Any) -> None:
    body = {"agent": "clerk", "input": "Hello?"}
    assert api.post("runs", body, Idempotency_Key="k1").status == 404
    api.post("agents", {"name": "clerk", "instructions": "Answer."})
    assert api.post("runs", body, Idempotency_Key="k1").status == 201


def test_simultaneous_requests_create_once(api: Any, agent: str) -> None:
    def start(_: int) -> Any:
        try:
            return api.post("runs", {"agent": "clerk", "input": "Hello?"}, Idempotency_Key="k1")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(start, range(6)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body["id"] for answer in answers}) == 1
    assert len(api.get("runs").body["items"]) == 1


def test_a_secret_is_shown_once_even_to_a_retry(api: Any) -> None:
    first = api.post("keys", {"name": "ci", "scopes": ["*"]}, Idempotency_Key="k1")
    assert first.body["key"].startswith("oct_")
    again = api.post("keys", {"name": "ci", "scopes": ["*"]}, Idempotency_Key="k1")
    assert again.body == {**first.body, "key": None}


def test_an_upload_is_another_request_when_a_field_or_a_file_differs(api: Any, models: Any) -> None:
    api.post("spaces", {"name": "files"})

    def upload(data: bytes, path: str) -> Any:
        return api.upload(
            "spaces/files/ingest", [("a.md", data)], idempotency_key="k1", path=[path]
        )

    first = upload(b"One.", "x/a")
    assert first.status == 202, first.body
    assert upload(b"One.", "x/a").body == first.body
    assert upload(b"One.", "y/a").problem()["status"] == 409
    assert upload(b"Two.", "x/a").problem()["status"] == 409


def test_an_unusable_key_is_refused(api: Any, agent: str) -> None:
    body = {"agent": "clerk", "input": "Hello?"}
    assert api.post("runs", body, Idempotency_Key="").problem()["status"] == 422
    assert api.post("runs", body, Idempotency_Key="k" * 300).problem()["status"] == 422
