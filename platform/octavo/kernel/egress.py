"""The only way out for addresses that users or models choose: resolve, refuse what is not public, connect to what was checked.

Internal hosts are reachable only when `OCTAVO_EGRESS_ALLOW` names them (host, host:port or CIDR).
"""

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from django.conf import settings

from octavo.kernel.errors import InvalidInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Globally routable, and so is every IPv4 address embedded in it (mapped, 6to4, Teredo, NAT64)."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(embedded is not None and not is_public(embedded) for embedded in inner):
            return False
    return address.is_global and not address.is_multicast


def _is_allowed(host: str, port: int, address: Address) -> bool:
    for rule in settings.EGRESS_ALLOW:
        if rule in {host, f"{host}:{port}", str(address), f"{address}:{port}"}:
            return True
        try:
            if address in ipaddress.ip_network(rule, strict=False):
                return True
        except ValueError:
            continue
    return False


def _check(host: str, port: int, literal: str) -> None:
    address = ipaddress.ip_address(literal.partition("%")[0])
    if not is_public(address) and not _is_allowed(host, port, address):
        raise InvalidInput(
            f"{host}:{port} leads to {address}, which is not a public address. "
            "If Octavo may reach it, add it to OCTAVO_EGRESS_ALLOW and restart."
        )


class GuardedResolver(AbstractResolver):
    """Resolves names, and lets through only addresses that were checked; aiohttp connects to exactly those."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found: Sequence[ResolveResult] = await self._resolver.resolve(host, port, family)
        for result in found:
            _check(host, port, result["host"])
        return list(found)

    async def close(self) -> None:
        await self._resolver.close()


def check_url(url: str) -> str:
    """The URL unchanged. Raises `InvalidInput` unless it is http(s) with a host, and any literal address is reachable."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput(f"{url!r} is not an http:// or https:// address.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        ipaddress.ip_address(parts.hostname.partition("%")[0])
    except ValueError:
        return url
    _check(parts.hostname, port, parts.hostname)
    return url


def session(*, timeout: float) -> aiohttp.ClientSession:  # noqa: ASYNC109
    """A client whose every connection is guarded. Call `check_url` on each URL first, redirects included.

    aiohttp does not resolve literal addresses, so redirects must be followed by the caller, one checked hop at a time.
    """
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(), use_dns_cache=False)
    return aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=timeout), trust_env=False
    )
