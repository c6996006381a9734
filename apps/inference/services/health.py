"""Looks at providers on somebody's behalf: nothing is called that costs anything."""

import asyncio
from collections.abc import Sequence

from apps.inference.adapters import health, probes
from apps.inference.types import ProviderHealth
from apps.model_registry import selectors as registry
from apps.model_registry.types import ProviderView
from octavo.kernel import io
from octavo.kernel.scope import Scope

_SECONDS = 3.0
_OLLAMA = "http://127.0.0.1:11434"


def check_provider(*, scope: Scope, name: str) -> ProviderHealth:
    """Whether it answers now. Needs `model.manage`; raises `NotFound`."""
    return check_providers(providers=[registry.get_visible_provider(scope=scope, name=name)])[0]


def check_providers(*, providers: Sequence[ProviderView]) -> list[ProviderHealth]:
    """Each of them at the same time, for a caller who may see them all."""
    keys = registry.get_credentials(provider_ids=[provider.id for provider in providers])

    async def look() -> list[ProviderHealth]:
        looks = [
            health.check(
                provider=provider.name,
                kind=provider.kind,
                base_url=provider.base_url,
                api_key=key,
                timeout=_SECONDS,
            )
            for provider, key in zip(providers, keys, strict=True)
        ]
        return list(await asyncio.gather(*looks))

    return io.call(look(), timeout=3 * _SECONDS)


def find_ollama_models(*, url: str = _OLLAMA) -> list[str]:
    """The chat models of an Ollama on this machine; empty where there is none."""
    probe = probes.list_ollama_models(url=url, timeout=_SECONDS)
    return [model.name for model in io.call(probe, timeout=2 * _SECONDS)]
