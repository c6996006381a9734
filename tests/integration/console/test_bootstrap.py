"""`manage.py bootstrap` makes a fresh installation usable, and a second time changes nothing."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import call_command

from tests.integration.inference.upstream import Upstream, embeddings, json_answer, running

KEY = "oct_" + "k" * 40


@pytest.fixture
def model_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """Stands where the built-in server would: vectors of its width, on another address."""
    from django.conf import settings

    async def answer(request: Any, body: dict[str, Any]) -> Any:
        if request.path.endswith("/embeddings"):
            return await json_answer(embeddings(body, [0.1] * 384))(request, body)
        return await json_answer({"object": "list", "data": []})(request, body)

    class Always:
        def popleft(self) -> Any:
            return answer

    with running() as server:
        server.script = Always()  # type: ignore[assignment]
        monkeypatch.setattr(settings, "MODEL_SERVER_URL", server.url)
        yield server


def bootstrap() -> dict[str, Any]:
    said = io.StringIO()
    call_command("bootstrap", "--json", stdout=said)
    found: dict[str, Any] = orjson.loads(said.getvalue())
    return found


def test_the_first_start_creates_everything_and_the_second_nothing(
    model_server: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.conf import settings

    from apps.accounts import services as accounts
    from apps.agents import selectors as agents
    from apps.context import selectors as context

    monkeypatch.setattr(settings, "ADMIN_EMAIL", "ada@example.test")
    monkeypatch.setattr(settings, "ADMIN_PASSWORD", "correct horse battery")
    monkeypatch.setattr(settings, "BOOTSTRAP_API_KEY", KEY)
    first = bootstrap()
    assert first["admin_email"] == "ada@example.test"
    assert first["admin_password_set"] is True
    assert first["api_key"] == KEY
    assert first["login_url"].startswith(settings.PUBLIC_URL + "/login/")
    assert first["model"]["tier"] == "starter"
    assert first["model"]["hint"]
    assert first["handbook"]["files"] == first["handbook"]["changed"] > 5
    scope = accounts.authenticate_key(secret=KEY)
    assert agents.get_agent(scope=scope, name="guide").version == 1
    keys = {entry.key for entry in context.list_entries(scope=scope, space="handbook", limit=200)}
    assert {"README.md", "docs/files.md"} <= keys
    assert context.get_space(scope=scope, name="notes").entries == 0

    second = bootstrap()
    assert second["api_key"] is None
    assert second["login_url"] != first["login_url"]
    assert second["handbook"] == {**first["handbook"], "changed": 0}
    assert agents.get_agent(scope=scope, name="guide").version == 1


def test_a_page_that_is_gone_leaves_the_handbook_and_a_persons_page_stays(
    model_server: Upstream, installation: Any, tmp_path: Path
) -> None:
    from apps.console import seeding
    from apps.context import selectors as context
    from apps.context.services import writing
    from apps.inference.services import discovery
    from apps.model_registry import services

    scope = installation.scope
    services.ensure_default_routes(scope=scope, found=discovery.find_model())
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Octavo\n\nIt runs agents.")
    (tmp_path / "docs" / "old.md").write_text("An old page.")
    assert seeding.seed_project(scope=scope, root=tmp_path).files == 2
    writing.write_entry(scope=scope, space="handbook", key="ours", content="Ours.", why="test")
    (tmp_path / "docs" / "old.md").unlink()
    assert seeding.seed_project(scope=scope, root=tmp_path).changed == 1
    keys = {e.key for e in context.list_entries(scope=scope, space="handbook", limit=10)}
    assert keys == {"README.md", "ours"}


def test_without_a_model_server_it_says_what_is_missing_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.conf import settings

    monkeypatch.setattr(settings, "MODEL_SERVER_URL", "http://127.0.0.1:9")
    found = bootstrap()
    assert found["handbook"]["problem"]
    assert found["api_key"].startswith("oct_")
