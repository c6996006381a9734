"""Secrets of keys and links: 256 random bits, kept as SHA-256, remembered for seconds."""

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass
from uuid import UUID

from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

KEY_PREFIX = "oct_"
_SHOWN = 12
_SHORTEST = 24
_TTL = 5.0
_CAPACITY = 10_000


def new_key_secret() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)


def new_link_token() -> str:
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def shown_part(secret: str) -> str:
    """Enough to recognise a key by, far too little to guess it from."""
    return secret[:_SHOWN]


def check_given_secret(secret: str) -> str:
    """A secret that an operator chose. Raises `InvalidInput` for one that could be guessed."""
    body = secret.removeprefix(KEY_PREFIX)
    if body == secret or len(body) < _SHORTEST or not (secret.isascii() and secret.isprintable()):
        raise InvalidInput(
            f"The bootstrap API key must be {KEY_PREFIX} and at least {_SHORTEST} further ASCII "
            "characters. Make one with: "
            "python -c \"import secrets; print('oct_' + secrets.token_urlsafe(32))\""
        )
    if " " in secret:
        raise InvalidInput("The bootstrap API key has a space in it. Remove it.")
    return secret


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    scope: Scope
    until: float


class KnownKeys:
    """Keys that authenticated a moment ago. What other processes revoke is forgotten within 5 s."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._lock = threading.Lock()

    def find(self, secret_hash: bytes) -> Scope | None:
        known = self._known.get(secret_hash)
        return known.scope if known is not None and known.until > time.monotonic() else None

    def remember(self, secret_hash: bytes, scope: Scope, *, at_most: float) -> None:
        """Trust the key for `at_most` seconds, and never longer than the time to live."""
        with self._lock:
            if len(self._known) >= _CAPACITY:
                self._known.clear()
            until = time.monotonic() + min(_TTL, at_most)
            self._known[secret_hash] = _Known(scope=scope, until=until)

    def forget(self, key_id: UUID) -> None:
        with self._lock:
            self._known = {
                secret_hash: known
                for secret_hash, known in self._known.items()
                if known.scope.key_id != key_id
            }
