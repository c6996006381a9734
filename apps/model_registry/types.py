"""Providers, models and routes. Agents name routes, never vendors."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID


class ProviderKind(StrEnum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"
    OPENAI_COMPATIBLE = "openai_compatible"
    VLLM = "vllm"
    OLLAMA = "ollama"
    BUILTIN = "builtin"


class ModelKind(StrEnum):
    CHAT = "chat"
    EMBEDDING = "embedding"
    RERANK = "rerank"


class Tier(StrEnum):
    """`starter` proves the plumbing; nothing a person sees may depend on its judgement."""

    STARTER = "starter"
    STANDARD = "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """USD per million tokens."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)

    def cost(self, *, input_tokens: int, output_tokens: int) -> Decimal:
        """USD, exact to nine decimals."""
        total = self.input * input_tokens + self.output * output_tokens
        return (total / 1_000_000).quantize(Decimal("0.000000001"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderView:
    id: UUID
    name: str
    kind: ProviderKind
    base_url: str
    has_api_key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    id: UUID
    name: str
    provider: str
    kind: ModelKind
    tier: Tier
    context_window: int
    native_tools: bool
    dimensions: int | None
    price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place a route may send a call to: everything an adapter needs but the credential."""

    provider_id: UUID
    provider_kind: ProviderKind
    base_url: str
    model: ModelView


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    id: UUID
    name: str
    kind: ModelKind
    targets: tuple[Target, ...]
    updated_at: datetime

    @property
    def tier(self) -> Tier:
        """The tier of the first target: what the route is on a good day."""
        return self.targets[0].model.tier if self.targets else Tier.STARTER


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """The chat model that an installation starts with, and where it was found.

    `source` says it in words ("OPENAI_API_KEY", "Ollama on 127.0.0.1:11434", …); `hint` is the next
    step to a better model, "" when there is none to take. `provider` is also the provider's name.
    """

    source: str
    provider: str
    kind: ProviderKind
    base_url: str
    name: str
    tier: Tier
    hint: str = ""
    api_key: str = field(default="", repr=False)
    context_window: int | None = None
