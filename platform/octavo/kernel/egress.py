"""The only way out for addresses that users or models choose.

Names are resolved, what is not public is refused, and the connection goes to what was checked.
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
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

_CONNECT_SECONDS = 10.0
_KEEP_ALIVE = 4.0  # shorter than servers keep theirs, so that none closes under a request

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Forms of IPv6 whose last four bytes are an IPv4 address: compatible, mapped, translated, NAT64.
_ENDS_IN_IPV4 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
# Beside the link-local ones: AWS and Google over IPv6, Alibaba, Oracle, Azure.
_METADATA = frozenset(
    ipaddress.ip_address(literal)
    for literal in (
        *("fd00:ec2::254", "fd20:ce::254"),
        *("100.100.100.200", "192.0.0.192", "168.63.129.16"),
    )
)
# https://www.iana.org/assignments/ipv6-address-space: all that IANA hands out as global unicast.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def is_public(address: Address) -> bool:
    """Globally routable, and so is every IPv4 address embedded in it (6to4, Teredo, NAT64).

    Of IPv6 only global unicast and well-known NAT64 can be public: mapped, compatible, translated,
    site-local and every other special form leads somewhere else.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    embedded = [address.sixtofour, *(address.teredo or ())]
    if any(inner is not None and not is_public(inner) for inner in embedded):
        return False
    return address in _GLOBAL_UNICAST and address.is_global


def is_metadata(literal: str) -> bool:
    """Whether clouds keep their machines' credentials there: link-local or a known such address.

    Counts every IPv4 address that an IPv6 one embeds; a name is none. For clients that may reach
    internal addresses but never these.
    """
    try:
        address = ipaddress.ip_address(literal.partition("%")[0])
    except ValueError:
        return False
    meant: list[Address | None] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        meant += [address.sixtofour, *(address.teredo or ())]
        if any(address in network for network in _ENDS_IN_IPV4):
            meant.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return any(one is not None and (one.is_link_local or one in _METADATA) for one in meant)


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


class Guard(AbstractResolver):
    """Resolves names to checked addresses only, and opens sockets to checked addresses only.

    aiohttp asks the resolver for names and skips it for literal addresses, in a redirect as well;
    every connection opens a socket, so that is where nothing gets past.
    """

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()
        self._checked: set[tuple[str, int]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found: Sequence[ResolveResult] = await self._resolver.resolve(host, port, family)
        for result in found:
            _check(host, port, result["host"])
            self._checked.add((result["host"], port))
        return list(found)

    def open_socket(self, info: AddressInfo) -> socket.socket:
        """A socket for exactly this address. Raises `InvalidInput` when it may not be reached."""
        family, kind, protocol, _, address = info
        host, port = address[0], address[1]
        if (host, port) not in self._checked:
            _check(host, port, host)
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        await self._resolver.close()


def check_url(url: str) -> str:
    """The URL unchanged.

    Raises `InvalidInput` unless it is http(s) with a host, and any literal address is reachable.
    Use it to refuse early, with a message; `session` checks again at each connection.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise InvalidInput(f"{url!r} is not a valid address: {error}.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput(f"{url!r} is not an http:// or https:// address.")
    try:
        ipaddress.ip_address(parts.hostname.partition("%")[0])
    except ValueError:
        return url
    _check(parts.hostname, port, parts.hostname)
    return url


def session(
    *, timeout: float | None, trace: aiohttp.TraceConfig | None = None
) -> aiohttp.ClientSession:
    """A client whose every connection is guarded, redirects included; it keeps no cookies.

    A refused address raises `InvalidInput` from the request. `timeout` bounds a whole exchange;
    None leaves that to the caller. Proxies of the environment are not used, because they would
    connect in Octavo's place.
    """
    guard = Guard()
    connector = aiohttp.TCPConnector(
        resolver=guard,
        use_dns_cache=False,
        socket_factory=guard.open_socket,
        keepalive_timeout=_KEEP_ALIVE,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace] if trace else None,
        trust_env=False,
    )
