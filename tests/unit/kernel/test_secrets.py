"""A sealed secret opens only for its row, with any key that is still listed, and is never shown."""

import base64
import os
from collections.abc import Iterator

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from octavo.kernel import secrets
from octavo.kernel.secrets import Secret, seal, unseal

CONTEXT = "provider:1:api_key"


def key(name: str) -> str:
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


OLD, NEW = key("k1"), key("k2")


@pytest.fixture(autouse=True)
def _fresh_keys() -> Iterator[None]:
    secrets._keys.cache_clear()
    yield
    secrets._keys.cache_clear()


def use_keys(*keys: str) -> override_settings:
    secrets._keys.cache_clear()
    return override_settings(ENCRYPTION_KEYS=keys)


def test_what_is_sealed_opens_again() -> None:
    with use_keys(NEW):
        sealed = seal("sk-ünïcode-🔑", context=CONTEXT)
        assert "sk-" not in sealed
        assert unseal(sealed, context=CONTEXT) == "sk-ünïcode-🔑"


def test_the_same_secret_is_never_sealed_the_same_way_twice() -> None:
    with use_keys(NEW):
        assert seal("x", context=CONTEXT) != seal("x", context=CONTEXT)


def test_a_secret_moved_to_another_row_does_not_open() -> None:
    with use_keys(NEW):
        sealed = seal("sk-1", context=CONTEXT)
        with pytest.raises(ValueError, match="does not belong to this row"):
            unseal(sealed, context="provider:2:api_key")


@pytest.mark.parametrize("position", [5, 20, -4])
def test_an_altered_secret_does_not_open(position: int) -> None:
    with use_keys(NEW):
        letters = list(seal("sk-1234567890", context=CONTEXT))
        letters[position] = "A" if letters[position] != "A" else "B"
        with pytest.raises(ValueError, match="was altered"):
            unseal("".join(letters), context=CONTEXT)


def test_the_first_key_seals_and_every_listed_key_opens() -> None:
    with use_keys(OLD):
        before = seal("sk-old", context=CONTEXT)
    with use_keys(NEW, OLD):
        assert unseal(before, context=CONTEXT) == "sk-old"
        assert seal("sk-new", context=CONTEXT).startswith("k2:")


def test_a_key_that_is_no_longer_listed_is_named() -> None:
    with use_keys(OLD):
        before = seal("sk-old", context=CONTEXT)
    with use_keys(NEW), pytest.raises(ValueError, match=r"'k1'.*OCTAVO_ENCRYPTION_KEYS"):
        unseal(before, context=CONTEXT)


@pytest.mark.parametrize("keys", [(), ("k1",), ("k1:short",), ("k1:????",), ("k1:QUJD",)])
def test_unusable_keys_are_refused_with_a_clear_message(keys: tuple[str, ...]) -> None:
    with use_keys(*keys), pytest.raises(ImproperlyConfigured, match="OCTAVO_ENCRYPTION_KEYS"):
        seal("x", context=CONTEXT)


def test_a_broken_key_is_not_repeated_in_the_message() -> None:
    with use_keys("k1:c2VjcmV0"), pytest.raises(ImproperlyConfigured) as refused:
        seal("x", context=CONTEXT)
    assert "c2VjcmV0" not in str(refused.value)


def test_a_secret_does_not_show_in_its_representation() -> None:
    holder = {"api_key": Secret("sk-1")}
    assert "sk-1" not in repr(holder)
    assert "sk-1" not in f"{holder}"
