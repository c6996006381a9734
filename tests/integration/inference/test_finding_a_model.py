"""The first start takes the first model that is there, in the documented order."""

from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from apps.inference.services import discovery
from apps.model_registry.defaults import BASE_URLS
from apps.model_registry.types import ProviderKind, Tier
from octavo.kernel.errors import InvalidInput
from tests.integration.inference import upstream as fake

NOTHING = {
    "MODEL_URL": "",
    "MODEL_NAME": "",
    "MODEL_API_KEY": "",
    "OPENAI_API_KEY": "",
    "ANTHROPIC_API_KEY": "",
    "GEMINI_API_KEY": "",
    "BUILTIN_MODEL": "",
}


@pytest.fixture
def nowhere(free_port: int) -> str:
    return f"http://127.0.0.1:{free_port}"


def models(*rows: dict[str, Any]) -> fake.Answer:
    return fake.json_answer({"object": "list", "data": list(rows)})


def test_without_anything_the_built_in_starter_model_is_taken_with_a_hint(nowhere: str) -> None:
    with override_settings(**NOTHING):
        found = discovery.find_model(ollama=nowhere, vllm=nowhere)
    assert (found.kind, found.name, found.tier) == (
        ProviderKind.BUILTIN,
        "smollm2-135m-instruct",
        Tier.STARTER,
    )
    assert found.base_url == f"{settings.MODEL_SERVER_URL}/v1"
    assert "OPENAI_API_KEY" in found.hint


def test_another_built_in_model_goes_by_its_file(nowhere: str) -> None:
    with override_settings(**NOTHING | {"BUILTIN_MODEL": "/models/Better-1B.Q4.gguf"}):
        assert discovery.find_model(ollama=nowhere, vllm=nowhere).name == "Better-1B.Q4"


def test_a_vllm_server_is_taken_and_its_window_with_it(
    upstream: fake.Upstream, nowhere: str
) -> None:
    row = {"id": "org/model", "owned_by": "vllm", "max_model_len": 32768}
    upstream.script.append(models(row))
    with override_settings(**NOTHING):
        found = discovery.find_model(ollama=nowhere, vllm=upstream.url)
    assert (found.kind, found.name, found.context_window) == (
        ProviderKind.VLLM,
        "org/model",
        32768,
    )
    assert found.base_url == f"{upstream.url}/v1"


def test_another_server_on_vllms_port_is_not_mistaken_for_it(
    upstream: fake.Upstream, nowhere: str
) -> None:
    upstream.script.append(models({"id": "default", "owned_by": "octavo"}))
    with override_settings(**NOTHING):
        found = discovery.find_model(ollama=nowhere, vllm=upstream.url)
    assert found.kind is ProviderKind.BUILTIN


def test_ollama_comes_before_vllm_and_its_embedders_do_not_chat(upstream: fake.Upstream) -> None:
    rows = [
        {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
        {"name": "qwen3:8b", "details": {"family": "qwen3"}},
    ]
    upstream.script.append(fake.json_answer({"models": rows}))
    with override_settings(**NOTHING):
        found = discovery.find_model(ollama=upstream.url, vllm=upstream.url)
    assert (found.kind, found.name) == (ProviderKind.OLLAMA, "qwen3:8b")
    assert [seen.path for seen in upstream.seen] == ["/api/tags"]


def test_a_configured_address_wins_and_nothing_else_is_asked(
    upstream: fake.Upstream, nowhere: str
) -> None:
    named = {
        "MODEL_URL": f"{nowhere}/v1/",
        "MODEL_NAME": "mine",
        "MODEL_API_KEY": "k",
        "OPENAI_API_KEY": "sk-x",
    }
    with override_settings(**NOTHING | named):
        found = discovery.find_model(ollama=upstream.url, vllm=upstream.url)
    assert (found.name, found.base_url, found.api_key) == ("mine", f"{nowhere}/v1", "k")
    assert "'k'" not in repr(found)
    assert upstream.seen == []


def test_a_configured_address_without_a_name_takes_the_first_model_it_serves(
    upstream: fake.Upstream,
) -> None:
    upstream.script.append(models({"id": "served", "max_model_len": 4096}))
    with override_settings(**NOTHING | {"MODEL_URL": f"{upstream.url}/v1"}):
        found = discovery.find_model()
    assert (found.name, found.context_window) == ("served", 4096)


def test_a_configured_address_that_tells_no_model_is_a_clear_error(nowhere: str) -> None:
    with (
        override_settings(**NOTHING | {"MODEL_URL": f"{nowhere}/v1"}),
        pytest.raises(InvalidInput, match="name the model in OCTAVO_MODEL_NAME"),
    ):
        discovery.find_model()


def test_a_vendor_key_takes_the_best_model_that_the_key_may_use(
    upstream: fake.Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BASE_URLS, ProviderKind.GOOGLE, upstream.url)
    upstream.script.append(models({"id": "models/gemini-2.5-flash"}, {"id": "models/other"}))
    with override_settings(**NOTHING | {"GEMINI_API_KEY": "g-key"}):
        found = discovery.find_model()
    assert (found.kind, found.name, found.source) == (
        ProviderKind.GOOGLE,
        "gemini-2.5-flash",
        "GEMINI_API_KEY",
    )
    assert upstream.seen[0].headers["Authorization"] == "Bearer g-key"


def test_a_listing_beyond_reason_is_not_read(upstream: fake.Upstream, nowhere: str) -> None:
    rows = b'{"data": [{"id": "m", "owned_by": "vllm", "note": "' + b"x" * (5 * 2**20) + b'"}]}'
    upstream.script.append(fake.stream(rows))  # of no announced length
    with override_settings(**NOTHING):
        found = discovery.find_model(ollama=nowhere, vllm=upstream.url)
    assert found.kind is ProviderKind.BUILTIN
