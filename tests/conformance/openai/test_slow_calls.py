"""A provider that does not answer in time is let go, and the client is told."""

from typing import Any

import openai
import pytest

from tests.conformance.openai.behaviours import behaviour
from tests.conformance.openai.conftest import Edge
from tests.integration.inference import upstream as fake

HI: list[Any] = [{"role": "user", "content": "Hello?"}]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"OCTAVO_MODEL_CALL_SECONDS": "1"}


@behaviour("errors.timeout")
def test_a_provider_that_is_too_slow_is_given_up(edge: Edge, sdk: openai.OpenAI) -> None:
    for is_streamed in (False, True):
        edge.upstream.script.append(fake.hang)
        edge.upstream.gone.clear()
        with pytest.raises(openai.InternalServerError) as caught:
            sdk.chat.completions.create(model="main", messages=HI, stream=is_streamed)
        assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
        assert "OCTAVO_MODEL_CALL_SECONDS" in caught.value.message
        assert edge.upstream.gone.wait(20), "the provider still works for nobody"
    assert edge.usage() == [("error", 0, 0)] * 2
