"""Secrets at rest: AES-256-GCM, bound to its row so that sealed values cannot be swapped.

The row's table, key and field are the associated data. Stored form: `key id` `:` base64(12-byte
nonce ‖ ciphertext ‖ tag). `OCTAVO_ENCRYPTION_KEYS` lists `id:base64key`, newest first: the first
seals, all open.
"""

import base64
import binascii
import os
import re
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models

_NONCE = 12
_SEALED = re.compile(r"[^:\s]+:[A-Za-z0-9+/]{38,}={0,2}")  # at least a nonce and a tag


@cache
def _keys() -> dict[str, AESGCM]:
    keys: dict[str, AESGCM] = {}
    for item in settings.ENCRYPTION_KEYS:
        key_id, _, encoded = item.partition(":")
        try:
            keys[key_id] = AESGCM(base64.b64decode(encoded, validate=True))
        except (ValueError, binascii.Error):
            raise ImproperlyConfigured(
                f"OCTAVO_ENCRYPTION_KEYS: {key_id!r} is not followed by `:` and 32 bytes in base64."
            ) from None
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
            f"This secret was sealed with key {key_id!r}; OCTAVO_ENCRYPTION_KEYS lacks it. "
            "Add that key to the end of the list and restart."
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

    def get_prep_value(self, value: Any) -> Any:
        """Refuses whatever `pre_save` has not sealed: a plain string, or an update past the row."""
        if value and (isinstance(value, Secret) or not _SEALED.fullmatch(str(value))):
            raise TypeError(
                f"{self.model.__name__}.{self.name} takes a Secret, and is saved through its row."
            )
        return super().get_prep_value(value)


def reveal(row: models.Model, field: str) -> str:
    """The plaintext of an `EncryptedField` ("" when it was never set)."""
    sealed: str = getattr(row, field)
    if not sealed or isinstance(sealed, Secret):
        return str(sealed)
    return unseal(sealed, context=_context(row, field))


def list_unreadable() -> list[str]:
    """The fields that hold a value which no present key opens, each as `table.field (how many)`."""
    lost = {
        f"{model._meta.db_table}.{field.attname}": sum(
            not _opens(row, field.attname)
            for row in model._default_manager.exclude(**{field.attname: ""}).iterator()
        )
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, EncryptedField)
    }
    return [f"{name} ({count})" for name, count in lost.items() if count]


def _opens(row: models.Model, field: str) -> bool:
    try:
        reveal(row, field)
    except ValueError:
        return False
    return True


def _context(row: models.Model, field: str) -> str:
    if row.pk is None:
        raise TypeError(f"{type(row).__name__} needs its primary key before a secret is sealed.")
    return f"{row._meta.db_table}:{row.pk}:{field}"
