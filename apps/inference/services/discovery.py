"""Which chat model an installation starts with: the first that is there, the built-in one at last.

What the environment names comes before what is found on this machine. Nothing is sent anywhere
but to the provider whose key is set, and to loopback.
"""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from apps.inference.adapters import probes
from apps.model_registry import selectors as registry
from apps.model_registry.types import FoundModel, ProviderKind, Tier
from octavo.kernel import io
from octavo.kernel.errors import InvalidInput

BUILTIN_CHAT = "smollm2-135m-instruct"
_BUILTIN_WINDOW = 8192
_OLLAMA = "http://127.0.0.1:11434"
_VLLM = "http://127.0.0.1:8000"
_LOOPBACK_SECONDS = 0.3
_HOSTED_SECONDS = 3.0
_BETTER = (
    "This is a starter model: it shows that everything works, and answers by quoting. For a real "
    "one set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or OCTAVO_MODEL_URL and "
    "OCTAVO_MODEL_NAME, or start Ollama or vLLM; then restart."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vendor:
    """A hosted provider and the models to prefer, best first; the first is taken unseen."""

    setting: str
    kind: ProviderKind
    preferred: tuple[str, ...]


_VENDORS = (
    _Vendor(
        setting="OPENAI_API_KEY",
        kind=ProviderKind.OPENAI,
        preferred=("gpt-5.4-mini", "gpt-5-mini", "gpt-4.1-mini", "gpt-4o-mini"),
    ),
    _Vendor(
        setting="ANTHROPIC_API_KEY",
        kind=ProviderKind.ANTHROPIC,
        preferred=("claude-haiku-5-5", "claude-haiku-4-5"),
    ),
    _Vendor(
        setting="GEMINI_API_KEY",
        kind=ProviderKind.GOOGLE,
        preferred=("gemini-3.8-flash", "gemini-3.5-flash", "gemini-2.5-flash"),
    ),
)


def find_model(*, ollama: str = _OLLAMA, vllm: str = _VLLM) -> FoundModel:
    """The chat model that `default` should point at, in the order of the documentation.

    `OCTAVO_MODEL_URL`, `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`, Ollama, vLLM, built
    in. `OCTAVO_MODEL_NAME` names the model of whichever of the first four is set. Raises
    `InvalidInput` when an address is set and neither a name nor the server tells the model.
    """
    return _configured() or _hosted() or _from_ollama(ollama) or _from_vllm(vllm) or _builtin()


def _configured() -> FoundModel | None:
    if not settings.MODEL_URL:
        return None
    base_url = settings.MODEL_URL.rstrip("/")
    served = _served(base_url, settings.MODEL_API_KEY, _HOSTED_SECONDS)
    name = settings.MODEL_NAME or (served[0].name if served else "")
    if not name:
        raise InvalidInput(
            f"OCTAVO_MODEL_URL is {base_url}, which lists no models. Check the address (it ends "
            "with the protocol's version, …/v1) or name the model in OCTAVO_MODEL_NAME."
        )
    windows = [model.context_window for model in served if model.name == name]
    return FoundModel(
        source="OCTAVO_MODEL_URL",
        provider="configured",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=base_url,
        name=name,
        tier=Tier.STANDARD,
        api_key=settings.MODEL_API_KEY,
        context_window=windows[0] if windows else None,
    )


def _hosted() -> FoundModel | None:
    for vendor in _VENDORS:
        api_key: str = getattr(settings, vendor.setting)
        if api_key:
            base_url = registry.find_base_url(kind=vendor.kind) or ""
            return FoundModel(
                source=vendor.setting,
                provider=vendor.kind,
                kind=vendor.kind,
                base_url=base_url,
                name=settings.MODEL_NAME or _preferred(vendor, base_url, api_key),
                tier=Tier.STANDARD,
                api_key=api_key,
            )
    return None


def _preferred(vendor: _Vendor, base_url: str, api_key: str) -> str:
    """The best of the preferred models that this key may use."""
    served = {model.name for model in _served(base_url, api_key, _HOSTED_SECONDS)}
    return next((name for name in vendor.preferred if name in served), vendor.preferred[0])


def _from_ollama(url: str) -> FoundModel | None:
    models = io.call(
        probes.list_ollama_models(url=url, timeout=_LOOPBACK_SECONDS), timeout=_HOSTED_SECONDS
    )
    if not models:
        return None
    return FoundModel(
        source=f"Ollama at {url}",
        provider="ollama",
        kind=ProviderKind.OLLAMA,
        base_url=f"{url}/v1",
        name=models[0].name,
        tier=Tier.STANDARD,
    )


def _from_vllm(url: str) -> FoundModel | None:
    """Only a server that says it is vLLM: Octavo itself may listen on that port."""
    for model in _served(f"{url}/v1", "", _LOOPBACK_SECONDS):
        if model.owned_by == "vllm":
            return FoundModel(
                source=f"vLLM at {url}",
                provider="vllm",
                kind=ProviderKind.VLLM,
                base_url=f"{url}/v1",
                name=model.name,
                tier=Tier.STANDARD,
                context_window=model.context_window,
            )
    return None


def _builtin() -> FoundModel:
    named = settings.BUILTIN_MODEL
    return FoundModel(
        source="built in",
        provider="builtin",
        kind=ProviderKind.BUILTIN,
        base_url=f"{settings.MODEL_SERVER_URL.rstrip('/')}/v1",
        name=Path(named).stem if named else BUILTIN_CHAT,
        tier=Tier.STARTER,
        hint=_BETTER,
        context_window=_BUILTIN_WINDOW,
    )


def _served(base_url: str, api_key: str, seconds: float) -> tuple[probes.ServedModel, ...]:
    probe = probes.list_models(base_url=base_url, api_key=api_key, timeout=seconds)
    return io.call(probe, timeout=seconds + 1)
