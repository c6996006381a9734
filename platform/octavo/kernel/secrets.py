"""Secrets at rest: AES-256-GCM with the row's table, key and field as associated data, so rows cannot be swapped.

Stored form: `key id` `:` base64(12-byte nonce ‖ ciphertext ‖ tag). `OCTAVO_ENCRYPTION_KEYS` lists `id:base64key`, newest
first: the first seals, all open.
"""

import base64
import os
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models

_NONCE = 12


@cache
def _keys() -> dict[str, AESGCM]:
    keys: dict[str, AESGCM] = {}
    for item in settings.ENCRYPTION_KEYS:
        key_id, _, encoded = item.partition(":")
        keys[key_id] = AESGCM(base64.b64decode(encoded))
    if not keys:
        raise ImproperlyConfigured(
            "OCTAVO_ENCRYPTION_KEYS is empty: set it to `k1:` and 32 random bytes in base64."
        )
    return keys


def seal(plaintext: str, *, context: str) -> str:
    """Encrypt with the newest key, bound to `context` (`table:pk:field`)."""
    key_id, key = next(iter(_keys().items()))
    nonce = os.urandom(_NONCE)
    sealed = key.encrypt(nonce, plaintext.encode(), context.encode())
    return f"{key_id}:{base64.b64encode(nonce + sealed).decode()}"


def unseal(sealed: str, *, context: str) -> str:
    """Raises `ValueError` when the key is unknown or the value was sealed for another row."""
    key_id, _, encoded = sealed.partition(":")
    key = _keys().get(key_id)
    if key is None:
        raise ValueError(
            f"The secret was sealed with key {key_id!r}, which OCTAVO_ENCRYPTION_KEYS no longer lists."
        )
    raw = base64.b64decode(encoded)
    try:
        return key.decrypt(raw[:_NONCE], raw[_NONCE:], context.encode()).decode()
    except InvalidTag:
        raise ValueError("The secret does not belong to this row, or was altered.") from None


class Secret(str):
    """A plaintext on its way into an `EncryptedField`; never shown by `repr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('…')"


class EncryptedField(models.TextField):  # type: ignore[type-arg]
    """Holds a sealed text. Assign `Secret("…")` to seal on save; `reveal(row, "field")` to open."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = getattr(model_instance, self.attname)
        if isinstance(value, Secret):
            value = seal(value, context=_context(model_instance, self.attname)) if value else ""
            setattr(model_instance, self.attname, value)
        return value


def reveal(row: models.Model, field: str) -> str:
    """The plaintext of an `EncryptedField` ("" when it was never set)."""
    sealed: str = getattr(row, field)
    if not sealed or isinstance(sealed, Secret):
        return str(sealed)
    return unseal(sealed, context=_context(row, field))


def _context(row: models.Model, field: str) -> str:
    return f"{row._meta.db_table}:{row.pk}:{field}"
