"""One governed chat call: policy, budget, upstream, usage, cost, and what a failure leaves."""

import logging
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from apps.inference.services import chat, connections
from apps.inference.types import ChatRequest, ContextOverflow
from apps.model_registry import services as registry
from apps.model_registry.types import ModelKind
from octavo.kernel import io
from octavo.kernel.errors import (
    BudgetExceeded,
    Forbidden,
    InvalidInput,
    NotFound,
    Unavailable,
    UpstreamFailed,
)
from octavo.kernel.scope import Principal, PrincipalKind
from tests.integration.inference import upstream as fake
from tests.integration.inference.calls import HELLO, WITH_TOOL, budget_window, limit_calls, rows
from tests.integration.inference.conftest import SECRET


def test_a_call_leaves_a_usage_row_with_its_cost_and_settles_its_budget(
    scope: Any, chat_route: str
) -> None:
    limit_calls(scope, 10)
    settled = chat.complete(scope=scope, route=chat_route, request=HELLO, step="m1")
    assert settled.result.text == fake.TEXT
    assert (settled.result.provider, settled.result.model) == ("remote", "remote-model")
    assert settled.cost_usd == Decimal("0.000092")  # 11 at 2 and 7 at 10 USD per million
    usage = rows(
        "SELECT id, step, route, provider, input_tokens, output_tokens, cost_usd, status FROM usage"
    )
    assert usage == [(settled.usage_id, "m1", "main", "remote", 11, 7, Decimal("0.000092"), "ok")]
    assert budget_window() == (0, 0, Decimal("0.000092"), 1)
    assert rows("SELECT action, outcome FROM decision WHERE id = %s", settled.decision_id) == [
        ("model.call", "allow")
    ]


def test_the_upstream_receives_the_key_and_the_request_and_nothing_else(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    chat.complete(scope=scope, route=chat_route, request=HELLO)
    (seen,) = upstream.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["Authorization"] == f"Bearer {SECRET}"
    assert seen.body == {
        "model": "remote-model",
        "messages": [{"role": "user", "content": "Hello?"}],
        "max_tokens": 50,
    }


def test_a_streamed_call_passes_text_on_as_it_arrives(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    heard: list[str] = []
    settled = chat.complete(scope=scope, route=chat_route, request=HELLO, on_delta=heard.append)
    assert heard == ["Hello", " from", " upstream."]
    assert settled.result.text == fake.TEXT
    assert settled.result.usage.output_tokens == 7
    assert upstream.seen[0].body["stream_options"] == {"include_usage": True}


def test_connections_are_reused_after_whole_and_streamed_answers(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    for sink in (None, lambda text: None, None):
        chat.complete(scope=scope, route=chat_route, request=HELLO, on_delta=sink)
    assert len({seen.connection for seen in upstream.seen}) == 1


def test_closed_connections_are_opened_again_by_the_next_call(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    chat.complete(scope=scope, route=chat_route, request=HELLO)
    io.call(connections.close(), timeout=5)
    chat.complete(scope=scope, route=chat_route, request=HELLO)
    assert len({seen.connection for seen in upstream.seen}) == 2


def test_streamed_tool_calls_are_put_together(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    first = {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "add", "arguments": ""},
    }
    pieces = [
        {"tool_calls": [first]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1,'}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "now", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ' "b": 2}'}}]},
    ]
    parts = [fake.chunk(piece) for piece in pieces]
    upstream.script.append(fake.stream(*parts, fake.chunk({}, "tool_calls"), fake.USAGE, fake.DONE))
    result = chat.complete(
        scope=scope, route=chat_route, request=HELLO, on_delta=lambda _: None
    ).result
    assert [(call.id, call.name, call.arguments) for call in result.tool_calls] == [
        ("c1", "add", '{"a": 1, "b": 2}'),
        ("c2", "now", "{}"),
    ]
    assert result.finish_reason == "tool_calls"


def test_an_exhausted_budget_stops_the_call_before_it_is_sent(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    limit_calls(scope, 1)
    chat.complete(scope=scope, route=chat_route, request=HELLO)
    with pytest.raises(BudgetExceeded):
        chat.complete(scope=scope, route=chat_route, request=HELLO)
    assert len(upstream.seen) == 1


def test_a_call_that_could_cost_more_than_is_left_is_not_sent(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    limit_calls(scope, 10)  # and one dollar
    dear = ChatRequest(messages=HELLO.messages, max_tokens=200_000)  # two dollars of output
    with pytest.raises(BudgetExceeded):
        chat.complete(scope=scope, route=chat_route, request=dear)
    assert upstream.seen == []


def test_a_failed_call_releases_its_reservation_and_says_so_in_the_usage(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    limit_calls(scope, 10)
    upstream.script.append(fake.error(400, "temperature must be a number"))
    with pytest.raises(UpstreamFailed, match="temperature must be a number") as caught:
        chat.complete(scope=scope, route=chat_route, request=HELLO)
    assert not caught.value.retryable
    assert budget_window() == (0, 0, 0, 0)
    assert rows("SELECT status, cost_usd FROM usage") == [("error", 0)]


@pytest.mark.parametrize("trouble", [fake.error(503, "warming up"), fake.disconnect])
def test_a_passing_failure_is_tried_once_more(
    scope: Any, chat_route: str, upstream: fake.Upstream, trouble: fake.Answer
) -> None:
    upstream.script.append(trouble)
    assert chat.complete(scope=scope, route=chat_route, request=HELLO).result.text == fake.TEXT
    assert len(upstream.seen) == 2
    assert rows("SELECT status FROM usage") == [("ok",)]


def test_a_busy_provider_is_given_the_time_it_asks_for_but_not_minutes(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    upstream.script.append(fake.error(429, "slow down", **{"Retry-After": "0"}))
    chat.complete(scope=scope, route=chat_route, request=HELLO)
    assert len(upstream.seen) == 2
    upstream.script.append(fake.error(429, "slow down", **{"Retry-After": "120"}))
    with pytest.raises(UpstreamFailed, match="limiting requests"):
        chat.complete(scope=scope, route=chat_route, request=HELLO)
    assert len(upstream.seen) == 3


@pytest.mark.parametrize(
    "trouble",
    [
        fake.error(401, "bad key"),
        fake.error(404, "no such model"),
        fake.error(400, "too long", code="context_length_exceeded"),
        fake.error(429, "no money", code="insufficient_quota"),
    ],
)
def test_the_next_target_answers_when_the_first_cannot(
    scope: Any, upstream: fake.Upstream, point: Callable[..., Any], trouble: fake.Answer
) -> None:
    with fake.running() as other:
        targets = [point(upstream, name="first"), point(other, name="second")]
        registry.set_route(scope=scope, name="pair", kind=ModelKind.CHAT, targets=targets)
        upstream.script.append(trouble)
        settled = chat.complete(scope=scope, route="pair", request=HELLO)
    assert settled.result.provider == "second"
    assert rows("SELECT provider, model FROM usage") == [("second", "second-model")]


def test_a_request_that_is_wrong_in_itself_is_not_sent_to_the_next_target(
    scope: Any, upstream: fake.Upstream, point: Callable[..., Any]
) -> None:
    with fake.running() as other:
        targets = [point(upstream, name="first"), point(other, name="second")]
        registry.set_route(scope=scope, name="pair", kind=ModelKind.CHAT, targets=targets)
        upstream.script.append(fake.error(400, "messages.0.role is wrong"))
        with pytest.raises(UpstreamFailed):
            chat.complete(scope=scope, route="pair", request=HELLO)
        assert other.seen == []


def test_a_provider_that_keeps_failing_is_left_alone_for_a_while(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    upstream.script.extend(fake.error(500, "boom") for _ in range(20))
    for _ in range(3):
        with pytest.raises(UpstreamFailed):
            chat.complete(scope=scope, route=chat_route, request=HELLO)
    with pytest.raises(Unavailable, match="left alone for 15 s"):
        chat.complete(scope=scope, route=chat_route, request=HELLO)
    assert len(upstream.seen) == 6


def test_an_answer_that_breaks_off_is_not_repeated_to_a_listener(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    heard: list[str] = []
    upstream.script.append(fake.stream(fake.chunk({"content": "Once"}), abort=True))
    with pytest.raises(UpstreamFailed) as caught:
        chat.complete(scope=scope, route=chat_route, request=HELLO, on_delta=heard.append)
    assert caught.value.retryable
    assert heard == ["Once"]
    assert len(upstream.seen) == 1


@pytest.mark.parametrize(
    "broken",
    [
        fake.stream(fake.chunk({"content": "half"})),
        fake.stream(b'data: {"error": {"message": "out of memory"}}\n\n'),
        fake.stream(b"data: not json\n\n"),
        fake.stream(b'data: {"choices": [{"delta": 5}]}\n\n'),
    ],
    ids=["no end", "error event", "not JSON", "wrong shape"],
)
def test_a_broken_stream_is_a_clear_error(
    scope: Any, chat_route: str, upstream: fake.Upstream, broken: fake.Answer
) -> None:
    upstream.script.extend([broken, broken])
    with pytest.raises(UpstreamFailed, match="gave no usable answer for remote-model"):
        chat.complete(scope=scope, route=chat_route, request=HELLO, on_delta=lambda _: None)


@pytest.mark.parametrize(
    "body", [{}, {"choices": []}, {"choices": [{}]}, {"error": {"message": "broken"}}]
)
def test_an_answer_of_the_wrong_shape_is_a_clear_error(
    scope: Any, chat_route: str, upstream: fake.Upstream, body: dict[str, Any]
) -> None:
    upstream.script.extend([fake.json_answer(body)] * 2)
    with pytest.raises(UpstreamFailed, match="gave no usable answer for remote-model"):
        chat.complete(scope=scope, route=chat_route, request=HELLO)


def test_a_provider_that_is_not_there_is_named_with_the_next_step(
    scope: Any, point: Callable[..., Any], free_port: int
) -> None:
    target = point(f"http://127.0.0.1:{free_port}", name="absent")
    registry.set_route(scope=scope, name="away", kind=ModelKind.CHAT, targets=[target])
    with pytest.raises(Unavailable, match=r"'absent' did not answer at .* Check that it runs"):
        chat.complete(scope=scope, route="away", request=HELLO)
    assert rows("SELECT status FROM usage") == [("error",)]


def test_an_overlong_request_says_that_it_does_not_fit(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    message = "This model's maximum context length is 8192 tokens."
    upstream.script.append(fake.error(400, message))
    with pytest.raises(ContextOverflow, match="does not fit the context window"):
        chat.complete(scope=scope, route=chat_route, request=HELLO)


def test_a_refused_key_is_a_clear_error_that_never_shows_the_key(
    scope: Any, chat_route: str, upstream: fake.Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.script.append(fake.error(401, f"Incorrect API key provided: {SECRET}"))
    prepared = chat.prepare(scope=scope, route=chat_route, request=HELLO)
    with pytest.raises(UpstreamFailed) as caught:
        io.call(chat.send(prepared), timeout=5)
    assert "'remote' refused its API key (HTTP 401: Incorrect API key provided: …)" in str(
        caught.value
    )
    chat.settle_failed(prepared=prepared, error=caught.value, started_at=prepared_at())
    for text in (repr(prepared), repr(caught.value), caplog.text):
        assert SECRET not in text
    stored = rows("SELECT api_key FROM provider WHERE name = 'remote'")[0][0]
    assert SECRET not in stored


def prepared_at() -> Any:
    from octavo.kernel.clock import now

    return now()


def test_a_slow_call_is_cancelled_upstream_and_booked_as_an_error(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    limit_calls(scope, 10)
    upstream.script.append(fake.hang)
    with pytest.raises(Unavailable, match=r"gave no answer within 0\.2 s"):
        chat.complete(scope=scope, route=chat_route, request=HELLO, timeout=0.2)
    assert upstream.gone.wait(5), "the upstream still works for nobody"
    assert rows("SELECT status FROM usage") == [("error",)]
    assert budget_window() == (0, 0, 0, 0)


class Stopped(Exception):
    """What a listener raises to end a call."""


def test_a_listener_ends_a_stream_by_raising(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    def listen(_: str) -> None:
        raise Stopped

    upstream.script.append(fake.stream(fake.chunk({"content": "Once"}), hang=True))
    with pytest.raises(Stopped):
        chat.complete(scope=scope, route=chat_route, request=HELLO, on_delta=listen)
    assert upstream.gone.wait(5), "the upstream still works for nobody"
    assert rows("SELECT status FROM usage") == [("error",)]


def test_sending_never_touches_the_database(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    prepared = chat.prepare(scope=scope, route=chat_route, request=HELLO)
    touched = threading.Event()

    def refuse(*_: Any, **__: Any) -> Any:
        touched.set()
        raise AssertionError("send() used the database")

    async def send_guarded() -> Any:
        with connection.execute_wrapper(refuse):
            return await chat.send(prepared)

    result = io.call(send_guarded(), timeout=5)
    assert not touched.is_set()
    chat.settle(prepared=prepared, result=result, started_at=prepared_at())


def test_a_model_without_tools_is_offered_them_in_the_prompt_and_held_to_a_schema(
    scope: Any, upstream: fake.Upstream, point: Callable[..., Any]
) -> None:
    target = point(upstream, name="small", native_tools=False)
    registry.set_route(scope=scope, name="small", kind=ModelKind.CHAT, targets=[target])
    upstream.script.append(fake.text_answer('{"tool": "weather", "arguments": {"city": "Oslo"}}'))
    result = chat.complete(scope=scope, route="small", request=WITH_TOOL).result
    assert [(call.name, call.arguments) for call in result.tool_calls] == [
        ("weather", '{"city":"Oslo"}')
    ]
    sent = upstream.seen[0].body
    assert "tools" not in sent
    assert "weather" in sent["messages"][0]["content"]
    assert sent["response_format"]["type"] == "json_schema"


def test_a_server_that_refuses_tools_is_asked_again_in_words(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    upstream.script.append(fake.error(400, "remote-model does not support tools"))
    upstream.script.append(fake.text_answer('{"answer": "Sunny."}'))
    heard: list[str] = []
    settled = chat.complete(scope=scope, route=chat_route, request=WITH_TOOL, on_delta=heard.append)
    assert settled.result.text == "Sunny."
    assert heard == ["Sunny."]
    assert "tools" in upstream.seen[0].body
    assert "tools" not in upstream.seen[1].body


def test_a_principal_without_a_role_may_not_call_a_model(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    from octavo.kernel import ids

    stranger = Principal(kind=PrincipalKind.USER, id=ids.new(), name="stranger")
    with pytest.raises(Forbidden):
        chat.complete(scope=scope.acting_as(stranger), route=chat_route, request=HELLO)
    assert upstream.seen == []


def test_an_unknown_route_is_not_found_and_the_known_ones_are_named(
    scope: Any, chat_route: str
) -> None:
    with pytest.raises(NotFound, match=r"no route 'nope'.*Routes: main"):
        chat.complete(scope=scope, route="nope", request=HELLO)


def test_a_route_for_embeddings_does_not_chat(
    scope: Any, upstream: fake.Upstream, point: Callable[..., Any]
) -> None:
    target = point(upstream, name="vectors", kind=ModelKind.EMBEDDING)
    registry.set_route(scope=scope, name="vectors", kind=ModelKind.EMBEDDING, targets=[target])
    with pytest.raises(InvalidInput, match="serves embedding, not chat"):
        chat.complete(scope=scope, route="vectors", request=HELLO)


def test_a_redirect_is_not_followed_with_the_key(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    with fake.running() as elsewhere:
        upstream.script.append(fake.json_answer({}, status=307, Location=elsewhere.url))
        with pytest.raises(UpstreamFailed, match="redirects"):
            chat.complete(scope=scope, route=chat_route, request=HELLO)
        assert elsewhere.seen == []
