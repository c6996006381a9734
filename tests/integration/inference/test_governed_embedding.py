"""One governed embedding call: normalised vectors in order, one usage row however many requests."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from apps.governance.services import budgets
from apps.governance.types import BudgetScope, Period
from apps.inference.services import embedding
from apps.model_registry import services as registry
from apps.model_registry.types import ModelKind, Price
from apps.observability import selectors as observability
from octavo.kernel import ids
from octavo.kernel.errors import BudgetExceeded, InvalidInput, UpstreamFailed
from tests.integration.inference import upstream as fake


@pytest.fixture
def route(scope: Any, upstream: fake.Upstream, point: Callable[..., Any]) -> str:
    target = point(upstream, kind=ModelKind.EMBEDDING, price=Price(input=Decimal("0.02")))
    registry.set_route(scope=scope, name="vectors", kind=ModelKind.EMBEDDING, targets=[target])
    return "vectors"


def test_vectors_come_back_in_order_and_of_unit_length(
    scope: Any, route: str, upstream: fake.Upstream
) -> None:
    rows = [
        {"index": 1, "embedding": [0.0, 5.0]},
        {"index": 0, "embedding": [3.0, 4.0]},
        {"index": 2, "embedding": [0.0, 0.0]},
    ]
    usage = {"prompt_tokens": 6}
    upstream.script.append(fake.json_answer({"data": rows, "usage": usage}))
    settled = embedding.embed(scope=scope, route=route, texts=["a", "b", "c"])
    first, second, third = settled.result.vectors
    assert first == pytest.approx((0.6, 0.8))
    assert second == pytest.approx((0.0, 1.0))
    assert third == (0.0, 0.0)
    assert settled.result.dimensions == 2
    assert settled.cost_usd == Decimal("0.000000120")


def test_many_texts_go_in_several_requests_and_one_usage_row(
    scope: Any, route: str, upstream: fake.Upstream
) -> None:
    run_id = ids.new()
    inside = scope.acting_as(scope.principal, run_id=run_id)
    settled = embedding.embed(scope=inside, route=route, texts=[f"t{n}" for n in range(300)])
    assert len(settled.result.vectors) == 300
    assert [len(seen.body["input"]) for seen in upstream.seen] == [128, 128, 44]
    assert all(math.isclose(math.hypot(*v), 1, abs_tol=1e-6) for v in settled.result.vectors)
    total = observability.get_usage_of_run(run_id=run_id)
    assert (total.calls, total.input_tokens) == (1, 1500)


def test_base64_vectors_of_the_built_in_server_are_read(
    scope: Any, upstream: fake.Upstream
) -> None:
    from apps.model_registry.types import ProviderKind

    registry.create_provider(
        scope=scope, name="local", kind=ProviderKind.BUILTIN, base_url=upstream.url
    )
    target = ("local", "small-embedder")
    registry.set_route(scope=scope, name="local", kind=ModelKind.EMBEDDING, targets=[target])
    settled = embedding.embed(scope=scope, route="local", texts=["a"])
    assert upstream.seen[0].body["encoding_format"] == "base64"
    assert "Authorization" not in upstream.seen[0].headers
    assert settled.result.vectors[0] == pytest.approx((0.6, 0.8))


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": []}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}],
        [{"index": 0, "embedding": "not base64!"}, {"index": 1, "embedding": [1.0]}],
        [{"embedding": [1.0]}, {"embedding": [1.0]}],
        [{"index": 0, "embedding": [[1.0]]}, {"index": 1, "embedding": [[1.0]]}],
        [{"index": 0, "embedding": None}, {"index": 1, "embedding": None}],
        [{"index": 0, "embedding": [1e300]}, {"index": 1, "embedding": [1.0]}],
    ],
    ids=["none", "empty", "uneven", "not base64", "no index", "nested", "null", "infinite"],
)
def test_vectors_that_do_not_fit_the_texts_are_refused(
    scope: Any, route: str, upstream: fake.Upstream, data: list[Any]
) -> None:
    upstream.script.extend([fake.json_answer({"data": data})] * 2)
    with pytest.raises(UpstreamFailed, match="gave no usable answer"):
        embedding.embed(scope=scope, route=route, texts=["a", "b"])


def test_vectors_of_another_width_than_registered_are_refused(
    scope: Any, route: str, upstream: fake.Upstream
) -> None:
    registry.add_model(
        scope=scope,
        provider="remote",
        name="remote-model",
        kind=ModelKind.EMBEDDING,
        dimensions=384,
    )
    with pytest.raises(UpstreamFailed, match="2 dimensions where 384 are registered"):
        embedding.embed(scope=scope, route=route, texts=["a"])


def test_nothing_to_embed_is_refused_before_anything_happens(
    scope: Any, route: str, upstream: fake.Upstream
) -> None:
    with pytest.raises(InvalidInput, match="nothing to embed"):
        embedding.embed(scope=scope, route=route, texts=[])
    assert upstream.seen == []


def test_a_reservation_covers_text_that_takes_a_token_a_byte(scope: Any, route: str) -> None:
    limited(scope, tokens=2999)
    with pytest.raises(BudgetExceeded):
        embedding.prepare(scope=scope, route=route, texts=["7" * 3000])


def test_requests_that_were_answered_before_one_failed_are_booked(
    scope: Any, route: str, upstream: fake.Upstream
) -> None:
    first = [{"index": index, "embedding": [1.0]} for index in range(128)]
    upstream.script.append(fake.json_answer({"data": first, "usage": {"prompt_tokens": 640}}))
    upstream.script.append(fake.error(400, "no"))
    run_id = ids.new()
    inside = scope.acting_as(scope.principal, run_id=run_id)
    with pytest.raises(UpstreamFailed):
        embedding.embed(scope=inside, route=route, texts=["t"] * 129)
    total = observability.get_usage_of_run(run_id=run_id)
    assert (total.calls, total.input_tokens) == (1, 640)


def limited(scope: Any, *, tokens: int) -> None:
    budgets.set_limit(
        scope=scope,
        on=BudgetScope.PROJECT,
        target_id=scope.project_id,
        period=Period.TOTAL,
        limit_tokens=tokens,
    )
