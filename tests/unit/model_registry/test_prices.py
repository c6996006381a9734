"""Prices are exact, and known without a network."""

from decimal import Decimal

from apps.model_registry.defaults import model_defaults
from apps.model_registry.types import ModelKind, Price, ProviderKind, Tier


def test_cost_is_exact_to_nine_decimals() -> None:
    price = Price(input=Decimal("0.15"), output=Decimal("0.6"))
    assert price.cost(input_tokens=1, output_tokens=1) == Decimal("0.000000750")


def test_a_compatible_host_on_the_price_list_is_known_by_its_address() -> None:
    known = model_defaults(
        provider=ProviderKind.OPENAI_COMPATIBLE,
        base_url="https://api.groq.com/openai/v1",
        name="llama-3.3-70b-versatile",
        kind=ModelKind.CHAT,
    )
    assert known.price == Price(input=Decimal("0.59"), output=Decimal("0.79"))


def test_a_tiered_price_counts_with_its_first_tier() -> None:
    known = model_defaults(
        provider=ProviderKind.ANTHROPIC, base_url="", name="claude-sonnet-4-5", kind=ModelKind.CHAT
    )
    assert known.price == Price(input=Decimal(3), output=Decimal(15))


def test_what_is_not_listed_is_free_and_assumed_small() -> None:
    known = model_defaults(
        provider=ProviderKind.OPENAI, base_url="", name="nobody-knows", kind=ModelKind.CHAT
    )
    assert (known.price, known.context_window) == (Price(), 8192)


def test_the_built_in_model_is_a_starter_without_tools() -> None:
    known = model_defaults(
        provider=ProviderKind.BUILTIN, base_url="", name="any", kind=ModelKind.CHAT
    )
    assert (known.tier, known.native_tools) == (Tier.STARTER, False)
