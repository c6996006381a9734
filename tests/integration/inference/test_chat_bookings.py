"""Whatever a provider answers, the reservation covers it and only what was used is booked."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from apps.inference.services import chat
from apps.inference.types import ChatRequest, Message
from apps.model_registry import services as registry
from apps.model_registry.types import ModelKind
from octavo.kernel import io
from octavo.kernel.errors import Unavailable, UpstreamFailed
from tests.integration.inference import upstream as fake
from tests.integration.inference.calls import HELLO, WITH_TOOL, budget_window, limit_calls, rows
from tests.integration.inference.conftest import SECRET


@pytest.mark.parametrize(
    ("trouble", "listens"),
    [
        (fake.json_answer({"error": {"message": f"{SECRET}\0{'x' * 5000}"}}), False),
        (fake.stream(fake.error_event(f"{SECRET}\0{'x' * 5000}")), True),
    ],
    ids=["whole", "streamed"],
)
def test_an_error_inside_an_answer_is_cut_and_never_shows_the_key(
    scope: Any, chat_route: str, upstream: fake.Upstream, trouble: fake.Answer, listens: bool
) -> None:
    upstream.script.extend([trouble] * 2)
    sink = (lambda _: None) if listens else None
    with pytest.raises(UpstreamFailed, match="for remote-model: … x") as caught:
        chat.complete(scope=scope, route=chat_route, request=HELLO, on_delta=sink)
    assert SECRET not in str(caught.value)
    assert "\0" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert budget_of_usage() == [("error", 0, 0, 0)]


def budget_of_usage() -> list[tuple[Any, ...]]:
    return rows("SELECT status, input_tokens, output_tokens, cost_usd FROM usage")


def test_a_reservation_covers_text_that_takes_a_token_a_byte(scope: Any, chat_route: str) -> None:
    limit_calls(scope, 10)
    digits = ChatRequest(messages=(Message(role="user", content="7" * 3000),), max_tokens=50)
    chat.prepare(scope=scope, route=chat_route, request=digits)
    reserved = rows("SELECT reserved_tokens FROM budget_window")[0][0]
    assert reserved >= 3000 + 50


@pytest.mark.parametrize("native", [True, False])
def test_a_reservation_covers_tools_in_whatever_form_they_are_sent(
    scope: Any, upstream: fake.Upstream, point: Callable[..., Any], native: bool
) -> None:
    target = point(upstream, name="any", native_tools=native)
    registry.set_route(scope=scope, name="any", kind=ModelKind.CHAT, targets=[target])
    limit_calls(scope, 10)
    prepared = chat.prepare(scope=scope, route="any", request=WITH_TOOL)
    reserved = rows("SELECT reserved_tokens FROM budget_window")[0][0]
    io.call(chat.send(prepared), timeout=5)
    sent = upstream.seen[0].body
    prompt = "".join(message["content"] for message in sent["messages"])
    assert reserved >= len((prompt + str(sent.get("tools", sent.get("response_format")))).encode())


def test_a_stream_that_is_cut_is_booked_at_what_had_arrived(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    limit_calls(scope, 10)
    words = [fake.chunk({"content": "word "}) for _ in range(20)]
    upstream.script.append(fake.stream(*words, hang=True))
    with pytest.raises(Unavailable, match="gave no answer within"):
        chat.complete(
            scope=scope, route=chat_route, request=HELLO, on_delta=lambda _: None, timeout=0.5
        )
    ((status, input_tokens, output_tokens, cost),) = budget_of_usage()
    assert status == "error"
    assert input_tokens > 0
    assert output_tokens == 34  # a hundred bytes at three bytes a token
    assert cost == Decimal(input_tokens * 2 + output_tokens * 10) / 1_000_000
    assert budget_window() == (0, 0, cost, 1)


def test_an_answer_that_broke_off_is_booked_with_the_one_that_followed(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    limit_calls(scope, 10)
    upstream.script.append(
        fake.json_answer({"usage": {"prompt_tokens": 5, "completion_tokens": 3}})
    )
    settled = chat.complete(scope=scope, route=chat_route, request=HELLO)
    assert settled.result.usage.output_tokens == 7
    assert settled.cost_usd == Decimal("0.000132")  # 5 + 11 in, 3 + 7 out
    assert budget_of_usage() == [("ok", 16, 10, settled.cost_usd)]
    assert budget_window() == (0, 0, settled.cost_usd, 1)


ODD_MESSAGES = [
    {"content": ["Hi"]},
    {"content": 5},
    {"content": None, "tool_calls": [{"id": 1, "function": {"name": "now"}}]},
    {"content": None, "tool_calls": [{"function": {"name": ""}}]},
    {"content": None, "tool_calls": [{"function": {"name": "now", "arguments": {"a": 1}}}]},
    {"content": None, "tool_calls": [5]},
    {"content": None, "tool_calls": 5},
]


@pytest.mark.parametrize("listens", [False, True])
@pytest.mark.parametrize("message", ODD_MESSAGES)
def test_values_of_the_wrong_type_are_a_clear_error_and_leave_nothing_reserved(
    scope: Any, chat_route: str, upstream: fake.Upstream, message: dict[str, Any], listens: bool
) -> None:
    limit_calls(scope, 10)
    answer = fake.json_answer({"choices": [{"message": message}]})
    if listens:
        answer = fake.stream(fake.chunk(message), fake.chunk({}, "stop"), fake.DONE)
    upstream.script.extend([answer] * 2)
    sink = (lambda _: None) if listens else None
    with pytest.raises(UpstreamFailed, match="gave no usable answer for remote-model"):
        chat.complete(scope=scope, route=chat_route, request=HELLO, on_delta=sink)
    assert budget_window()[:2] == (0, 0)


@pytest.mark.parametrize(
    "usage",
    [
        [],
        "many",
        {"prompt_tokens": "3"},
        {"prompt_tokens": -3, "completion_tokens": -1},
        {"prompt_tokens": 2**31, "completion_tokens": 10**30},
        {"prompt_tokens": True, "completion_tokens": 1.5},
    ],
)
def test_usage_that_cannot_be_true_is_estimated(
    scope: Any, chat_route: str, upstream: fake.Upstream, usage: Any
) -> None:
    limit_calls(scope, 10)
    upstream.script.append(fake.text_answer("abcdef", usage=usage))
    settled = chat.complete(scope=scope, route=chat_route, request=HELLO)
    assert 0 < settled.result.usage.input_tokens < 100
    assert settled.result.usage.output_tokens == 2
    assert budget_window()[:2] == (0, 0)


def test_an_endless_stream_is_given_up(
    scope: Any, chat_route: str, upstream: fake.Upstream
) -> None:
    part = fake.chunk({"content": "x" * (7 * 2**20)})
    upstream.script.append(fake.stream(*[part] * 12, hang=True))
    with pytest.raises(UpstreamFailed, match="larger than 64 MiB"):
        chat.complete(
            scope=scope, route=chat_route, request=HELLO, on_delta=lambda _: None, timeout=30
        )
