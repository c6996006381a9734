"""Another embedding model takes over in the background, while searches go on."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.context.models import Chunk, Space
from apps.context.services import renewing, searching
from apps.context.types import SearchMode
from apps.model_registry import services as registry
from apps.model_registry.types import ModelKind
from octavo.kernel.models import Outbox
from tests.integration.context.word_vectors import point_embedding_at

JOBS = {"name": "context.reembed"}


@pytest.fixture
def filled(scope: Any, write: Callable[..., Any]) -> Any:
    for number in range(300):
        write(f"{number}.md", f"Lamp number{number} stands at the harbour.")
    return scope


def run_jobs() -> int:
    """As a worker would: each job that was sent, once."""
    sent = list(Outbox.objects.filter(**JOBS))
    for job in sent:
        job.delete()
        renewing.renew_space(**job.args)
    return len(sent)


def find(scope: Any, query: str, mode: SearchMode) -> list[str]:
    found = searching.search(scope=scope, query=query, spaces=["notes"], mode=mode)
    return [hit.citation.key for hit in found.hits]


def models() -> set[Any]:
    return set(Chunk.objects.filter(died=None).values_list("model_id", flat=True))


def test_spaces_follow_the_route_to_another_model(filled: Any, embedder: Any) -> None:
    (before,) = models()
    assert renewing.send_due() == 0
    point_embedding_at(filled, url=embedder.url, name="other-words")
    assert find(filled, "number7 harbour", SearchMode.DENSE) == []
    assert "7.md" in find(filled, "number7 harbour", SearchMode.HYBRID)
    asked = len(embedder.texts)

    assert renewing.send_due() == 1
    assert renewing.send_due() == 0  # it is under way
    assert run_jobs() == 1
    (after,) = models()
    assert after != before
    assert len(find(filled, "number7 harbour", SearchMode.DENSE)) == 10
    assert len(embedder.texts) - asked <= 300 + 10  # each once, and the questions of this test
    assert renewing.send_due() == 0


def test_a_job_goes_on_where_another_stopped(
    filled: Any, embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_embedding_at(filled, url=embedder.url, name="other-words")
    monkeypatch.setattr(renewing, "_SHARE_SECONDS", 1e-6)
    assert renewing.send_due() == 1
    assert run_jobs() == 1
    assert len(models()) == 1  # nothing was renewed in so short a time, and the rest was sent again
    monkeypatch.undo()
    assert run_jobs() == 1
    assert run_jobs() == 0
    assert len(find(filled, "number7 harbour", SearchMode.DENSE)) == 10


def test_vectors_wait_for_a_model_that_is_away(filled: Any, embedder: Any) -> None:
    point_embedding_at(filled, url=embedder.url, name="other-words")
    embedder.is_down = True
    assert renewing.send_due() == 1
    assert run_jobs() == 1
    assert Outbox.objects.filter(**JOBS).count() == 0  # no flood of tries
    embedder.is_down = False
    renewing.renew_space(space_id=str(Space.objects.get().id))
    assert len(find(filled, "number7 harbour", SearchMode.DENSE)) == 10


def test_a_fallback_of_the_route_is_no_reason_to_embed_anew(filled: Any, embedder: Any) -> None:
    (before,) = models()
    point_embedding_at(filled, url="http://127.0.0.1:9/v1", name="away")
    targets = [("away", "away"), ("words", "words")]
    registry.set_route(scope=filled, name="embedding", kind=ModelKind.EMBEDDING, targets=targets)
    assert renewing.send_due() == 1
    assert run_jobs() == 1
    assert run_jobs() == 0  # it is looked at again later, and not at once for ever
    assert models() == {before}
