"""Where a provider may be: at any http(s) address that is not link-local and holds no secret."""

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings

from apps.model_registry.defaults import BASE_URLS
from apps.model_registry.types import ProviderKind
from octavo.kernel.errors import InvalidInput


def builtin_url() -> str:
    """Where the built-in model server speaks the OpenAI protocol."""
    return f"{settings.MODEL_SERVER_URL.rstrip('/')}/v1"


def checked_url(kind: ProviderKind, base_url: str) -> str:
    """The address without a trailing slash. Link-local ones (a cloud's metadata) are refused.

    Other internal addresses are not: self-hosted models live there, and only those who hold
    `model.manage` choose them.
    """
    url = base_url.strip().rstrip("/") or BASE_URLS.get(kind, "")
    if not url and kind is ProviderKind.BUILTIN:
        url = builtin_url()
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise _bad_url(f"{url!r} is not an address such as https://host/v1")
    if parts.username or parts.password:
        raise _bad_url("credentials belong in api_key, where they are encrypted")
    if _is_link_local(parts.hostname):
        raise _bad_url(f"{parts.hostname} is a link-local address, where no model is served")
    return url if parts.path else f"{url}/v1"


def _is_link_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_link_local


def _bad_url(cause: str) -> InvalidInput:
    return InvalidInput(
        f"The provider's base_url cannot be used: {cause}.",
        errors=[{"path": "/base_url", "detail": cause}],
    )
