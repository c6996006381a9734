"""Where a provider may be: at any http(s) address but a cloud's metadata, and without a secret."""

from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from apps.model_registry.defaults import BASE_URLS
from apps.model_registry.types import ProviderKind
from octavo.kernel import egress
from octavo.kernel.errors import InvalidInput


def builtin_url() -> str:
    """Where the built-in model server speaks the OpenAI protocol."""
    return f"{settings.MODEL_SERVER_URL.rstrip('/')}/v1"


def checked_url(kind: ProviderKind, base_url: str) -> str:
    """The address without a trailing slash. A cloud's metadata addresses are refused.

    Other internal addresses are not: self-hosted models live there, and only those who hold
    `model.manage` choose them.
    """
    url = base_url.strip().rstrip("/") or BASE_URLS.get(kind, "")
    if not url and kind is ProviderKind.BUILTIN:
        url = builtin_url()
    parts = _split(url)
    if parts.username or parts.password:
        raise _bad_url("credentials belong in api_key, where they are encrypted")
    host = parts.hostname or ""
    if egress.is_metadata(host):
        raise _bad_url(f"{host} is where clouds keep credentials, and no model is served there")
    return url if parts.path else f"{url}/v1"


def _split(url: str) -> SplitResult:
    """The parts of a URL to which a path can be appended as it stands."""
    wrong = _bad_url(f"{url[:200]!r} is not an address such as https://host/v1")
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        raise wrong from None
    is_plain = url.isprintable() and not set(url) & set("?# \\")
    if not (is_whole and is_plain):
        raise wrong
    return parts


def _bad_url(cause: str) -> InvalidInput:
    return InvalidInput(
        f"The provider's base_url cannot be used: {cause}.",
        errors=[{"path": "/base_url", "detail": cause}],
    )
