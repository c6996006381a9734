"""Looks at providers on somebody's behalf: nothing is called that costs anything."""

import asyncio
from collections.abc import Sequence

from apps.inference.adapters import health
from apps.inference.types import ProviderHealth
from apps.model_registry import selectors as registry
from apps.model_registry.types import ProviderView
from octavo.kernel import io
from octavo.kernel.scope import Scope

_SECONDS = 3.0


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
