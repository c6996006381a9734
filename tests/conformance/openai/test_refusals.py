"""What the SDK raises, and what its message, code and headers say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest

from tests.conformance.openai.behaviours import behaviour
from tests.conformance.openai.conftest import PROVIDER_KEY, Edge
from tests.integration.inference import upstream as fake

HI: list[Any] = [{"role": "user", "content": "Hello?"}]


@contextmanager
def refused[E: openai.APIStatusError](
    kind: type[E], *, code: str | None, param: str | None = None
) -> Iterator[pytest.ExceptionInfo[E]]:
    with pytest.raises(kind) as caught:
        yield caught
    error: Any = caught.value
    assert type(error) is kind
    assert (error.code, error.param) == (code, param)
    assert set(error.body) >= {"message", "type", "param", "code"}
    assert error.request_id.startswith("req_")


@behaviour("errors.key")
def test_a_wrong_key_is_an_authentication_error(edge: Edge) -> None:
    for key in ("oct_" + "x" * 43, "sk-something"):
        with (
            edge.sdk(key=key) as sdk,
            refused(openai.AuthenticationError, code="invalid_api_key") as caught,
        ):
            sdk.chat.completions.create(model="main", messages=HI)
        assert "Authorization: Bearer oct_" in caught.value.message
    bare = httpx2.post(f"{edge.url}/v1/chat/completions", json={"model": "main"})
    assert (bare.status_code, bare.json()["error"]["code"]) == (401, "invalid_api_key")
    assert edge.upstream.seen == []


@behaviour("errors.model")
def test_an_unknown_model_is_not_found(edge: Edge, sdk: openai.OpenAI) -> None:
    with refused(openai.NotFoundError, code="model_not_found", param="model") as caught:
        sdk.chat.completions.create(model="gpt-4o", messages=HI)
    assert "main, small, vectors" in caught.value.message
    with refused(openai.BadRequestError, code=None, param="model") as wrong:
        sdk.chat.completions.create(model="vectors", messages=HI)
    assert "serves embedding, not chat" in wrong.value.message


@behaviour("errors.field")
def test_a_wrong_field_is_named(edge: Edge, sdk: openai.OpenAI) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("messages", {"messages": []}),
        ("messages[0]", {"messages": ["Hello?"]}),
        ("messages[0].role", {"messages": [{"content": "x"}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": 5}]}),
        ("messages[0].content[0]", {"messages": [{"role": "user", "content": [5]}]}),
        ("temperature", {"temperature": "hot"}),
        ("max_tokens", {"max_tokens": 0}),
        ("max_completion_tokens", {"max_completion_tokens": 1.5}),
        ("n", {"n": 1000}),
        ("stop", {"stop": [1]}),
        ("tools", {"tools": {}}),
        ("tools[0].function.name", {"tools": [{"type": "function", "function": {}}]}),
        ("tool_choice", {"tool_choice": "sometimes"}),
        ("tool_choice", {"tool_choice": {"type": "function", "function": {"name": "x"}}}),
        ("response_format", {"response_format": "json"}),
        ("response_format.json_schema", {"response_format": {"type": "json_schema"}}),
        ("stream_options", {"stream_options": {"include_usage": True}}),
        ("model", {"model": ""}),
    ]
    for param, fields in cases:
        with refused(openai.BadRequestError, code=None, param=param) as caught:
            sdk.chat.completions.create(**{"model": "main", "messages": HI} | fields)
        assert param.partition("[")[0].partition(".")[0] in caught.value.message
    assert edge.upstream.seen == []
    assert edge.usage() == []


@behaviour("errors.provider_field")
def test_a_field_that_the_provider_refuses_is_named(edge: Edge, sdk: openai.OpenAI) -> None:
    said = {"message": f"top_k is unknown to {PROVIDER_KEY}", "param": "top_k", "code": "unknown"}
    edge.upstream.script.append(fake.json_answer({"error": said}, status=400))
    with refused(openai.BadRequestError, code="unknown", param="top_k") as caught:
        sdk.chat.completions.create(model="main", messages=HI, extra_body={"top_k": 3})
    assert "top_k is unknown" in caught.value.message
    assert PROVIDER_KEY not in caught.value.message
    assert edge.usage() == [("error", 0, 0)]


@behaviour("errors.json")
def test_a_body_that_is_no_json_is_a_bad_request(edge: Edge) -> None:
    deep = b'{"model": "main", "messages": ' + b"[" * 600 + b"]" * 600 + b"}"
    for body in (b"", b"{", b"[]", b'"x"', b"\xff", deep):
        answer = httpx2.post(
            f"{edge.url}/v1/chat/completions",
            content=body,
            headers={"Authorization": f"Bearer {edge.key}"},
        )
        assert answer.status_code == 400, body[:40]
        assert answer.json()["error"]["type"] == "invalid_request_error"


@behaviour("errors.size")
def test_a_body_that_is_too_large_is_refused_unread(edge: Edge, sdk: openai.OpenAI) -> None:
    text = "x" * (11 * 2**20)
    with refused(openai.APIStatusError, code="request_too_large") as caught:
        sdk.chat.completions.create(model="main", messages=[{"role": "user", "content": text}])
    assert caught.value.status_code == 413
    assert "OCTAVO_MAX_BODY_BYTES" in caught.value.message


@behaviour("errors.context")
def test_a_prompt_that_does_not_fit_says_so(edge: Edge, sdk: openai.OpenAI) -> None:
    said = "This model's maximum context length is 8192 tokens."
    edge.upstream.script.append(fake.error(400, said, code="context_length_exceeded"))
    with refused(openai.BadRequestError, code="context_length_exceeded", param="messages"):
        sdk.chat.completions.create(model="main", messages=HI)


@behaviour("errors.policy")
def test_a_policy_refusal_names_the_policy(edge: Edge) -> None:
    from apps.accounts import services
    from apps.accounts.types import Role

    viewer = services.create_service(scope=edge.scope, name="onlooker", role=Role.VIEWER)
    for scopes, policy in ((("*",), "default-deny"), (("run.read",), "key-scope")):
        issued = services.issue_key(scope=edge.scope, name=policy, principal=viewer, scopes=scopes)
        with (
            edge.sdk(key=issued.secret) as sdk,
            refused(openai.PermissionDeniedError, code="policy_refused") as caught,
        ):
            sdk.chat.completions.create(model="main", messages=HI)
        body: Any = caught.value.body
        assert body["policies"] == [policy]
        with edge.sdk(key=issued.secret) as sdk:
            assert sdk.models.list().data == []
    assert edge.upstream.seen == []


@behaviour("errors.budget")
def test_a_full_budget_says_which_and_when_and_is_not_tried_again(edge: Edge) -> None:
    headers = {"Authorization": f"Bearer {edge.key}"}
    limit = {"scope": {"project": "default"}, "period": "day", "limit_calls": 1}
    made = httpx2.post(f"{edge.url}/api/v1/budgets", json=limit, headers=headers).json()
    with edge.sdk(max_retries=5) as sdk:
        sdk.chat.completions.create(model="main", messages=HI)
        with refused(openai.RateLimitError, code="budget_exceeded") as caught:
            sdk.chat.completions.create(model="main", messages=HI)
    body: Any = caught.value.body
    assert body["type"] == "insufficient_quota"
    assert body["budget"]["id"] == made["id"]
    assert body["budget"]["calls"] == {"limit": 1, "spent": 1, "reserved": 0}
    assert made["id"] in caught.value.message
    assert "(1 calls per day)" in caught.value.message
    assert "resets at" in caught.value.message
    answer = caught.value.response
    assert answer.headers["x-should-retry"] == "false"
    assert 0 < int(answer.headers["retry-after"]) <= 86_400
    assert len(edge.upstream.seen) == 1
    assert edge.rows("SELECT count(*) FROM usage") == [(1,)]


@behaviour("errors.busy")
def test_a_busy_provider_is_a_rate_limit_with_a_time(edge: Edge, sdk: openai.OpenAI) -> None:
    edge.upstream.script.append(fake.error(429, "slow down", **{"Retry-After": "60"}))
    with refused(openai.RateLimitError, code="upstream_busy") as caught:
        sdk.chat.completions.create(model="main", messages=HI)
    assert caught.value.response.headers["retry-after"] == "60"


@behaviour("errors.upstream")
def test_a_failing_provider_is_a_server_error(edge: Edge, sdk: openai.OpenAI) -> None:
    edge.upstream.script.extend([fake.error(500, "boom")] * 2)
    with refused(openai.InternalServerError, code="upstream_failed") as caught:
        sdk.chat.completions.create(model="main", messages=HI)
    assert caught.value.status_code == 502
    assert len(edge.upstream.seen) == 2
    edge.upstream.script.append(fake.error(401, f"bad key {PROVIDER_KEY}"))
    with refused(openai.InternalServerError, code="upstream_failed") as caught:
        sdk.chat.completions.create(model="main", messages=HI)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert PROVIDER_KEY not in caught.value.message
    edge.upstream.script.append(fake.error(503, "warming up"))
    answer = sdk.chat.completions.create(model="main", messages=HI)
    assert answer.choices[0].message.content == fake.TEXT


@behaviour("errors.midstream")
def test_a_stream_that_breaks_off_raises(edge: Edge, sdk: openai.OpenAI) -> None:
    half = fake.chunk({"content": "Half an ans"})
    for broken in (fake.stream(half, abort=True), fake.stream(half, fake.error_event("boom"))):
        edge.upstream.script.append(broken)
        stream = sdk.chat.completions.create(model="main", messages=HI, stream=True)
        assert next(stream).choices[0].delta.content == "Half an ans"
        with pytest.raises(openai.APIError, match="gave no usable answer") as caught:
            next(stream)
        assert caught.value.code == "upstream_failed"
    assert len(edge.upstream.seen) == 2
    assert [status for status, _, _ in edge.usage()] == ["error", "error"]
    assert all(output == 4 for _, _, output in edge.usage())


@behaviour("errors.embeddings")
def test_what_cannot_be_embedded_is_named(edge: Edge, sdk: openai.OpenAI) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("input", {"input": [[1, 2, 3]]}),
        ("input", {"input": [1, 2, 3]}),
        ("input", {"input": []}),
        ("input", {"input": ["a", ""]}),
        ("dimensions", {"input": "a", "dimensions": 1}),
        ("encoding_format", {"input": "a", "encoding_format": "hex"}),
    ]
    for param, fields in cases:
        with refused(openai.BadRequestError, code=None, param=param):
            sdk.embeddings.create(**{"model": "vectors"} | fields)
    assert edge.upstream.seen == []


@behaviour("errors.address")
def test_what_is_not_spoken_says_what_is(edge: Edge, sdk: openai.OpenAI) -> None:
    with refused(openai.NotFoundError, code="unknown_url") as caught:
        sdk.responses.create(model="main", input="Hello?")
    assert "/v1/chat/completions" in caught.value.message
    answer = httpx2.post(f"{edge.url}/v1/messages", json={})
    assert answer.status_code == 404
    assert (answer.json()["type"], answer.json()["error"]["type"]) == ("error", "not_found_error")
    wrong = httpx2.get(f"{edge.url}/v1/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
