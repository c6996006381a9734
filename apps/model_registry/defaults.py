"""What is known of a provider or model before a person says: address, price, abilities."""

from dataclasses import dataclass
from decimal import Decimal

from apps.model_registry.types import ModelKind, Price, ProviderKind, Tier

BASE_URLS = {
    ProviderKind.OPENAI: "https://api.openai.com/v1",
    ProviderKind.ANTHROPIC: "https://api.anthropic.com/v1",
    ProviderKind.GOOGLE: "https://generativelanguage.googleapis.com/v1beta/openai",
    ProviderKind.OLLAMA: "http://127.0.0.1:11434/v1",
}
"""Where each vendor speaks the OpenAI protocol; kinds that are missing have no usual address."""

CONTEXT_WINDOW = 8192
_LISTED = {
    ProviderKind.OPENAI: "openai",
    ProviderKind.ANTHROPIC: "anthropic",
    ProviderKind.GOOGLE: "google",
}
_SAMPLE = 1000  # tokens: small enough to stay below every tiered price


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDefaults:
    tier: Tier
    context_window: int
    native_tools: bool
    price: Price


def model_defaults(
    *, provider: ProviderKind, base_url: str, name: str, kind: ModelKind
) -> ModelDefaults:
    """Self-hosted models cost nothing; of hosted ones the price list of `genai-prices` is asked."""
    is_builtin = provider is ProviderKind.BUILTIN
    price, window = _listed(provider, base_url, name)
    return ModelDefaults(
        tier=Tier.STARTER if is_builtin else Tier.STANDARD,
        context_window=window or CONTEXT_WINDOW,
        native_tools=kind is ModelKind.CHAT and not is_builtin,
        price=price,
    )


def _listed(provider: ProviderKind, base_url: str, name: str) -> tuple[Price, int | None]:
    """Price and context window from the list shipped with `genai-prices`; nothing is fetched."""
    if provider in {ProviderKind.BUILTIN, ProviderKind.VLLM, ProviderKind.OLLAMA}:
        return Price(), None
    from genai_prices import Usage, calc_price  # 40 MB, so only where a model is registered

    usage = Usage(input_tokens=_SAMPLE, output_tokens=_SAMPLE)
    try:
        if provider in _LISTED:
            found = calc_price(usage, model_ref=name, provider_id=_LISTED[provider])
        else:
            found = calc_price(usage, model_ref=name, provider_api_url=base_url)
    except LookupError:
        return Price(), None
    per_million = Decimal(1_000_000 // _SAMPLE)
    price = Price(input=found.input_price * per_million, output=found.output_price * per_million)
    return price, found.model.context_window
