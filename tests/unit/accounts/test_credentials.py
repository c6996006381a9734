"""Secrets are long, recognisable and forgotten in time."""

import pytest

from apps.accounts.credentials import (
    KnownKeys,
    check_given_secret,
    hash_secret,
    new_key_secret,
    shown_part,
)
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import SYSTEM, Scope


def make_scope():
    return Scope(
        organisation_id=ids.new(),
        team_id=ids.new(),
        project_id=ids.new(),
        principal=SYSTEM,
        key_id=ids.new(),
    )


def test_a_new_secret_holds_256_bits_and_shows_almost_none():
    secret = new_key_secret()
    assert secret.startswith("oct_")
    assert len(secret) == len("oct_") + 43
    assert len(shown_part(secret)) == 12
    assert check_given_secret(secret) == secret


@pytest.mark.parametrize(
    "secret",
    ["", "oct_short", "sk_" + "x" * 40, "oct_" + "x" * 23, "oct_" + "é" * 30, "oct_" + "x " * 20],
)
def test_a_secret_that_could_be_guessed_or_not_be_sent_is_refused(secret):
    with pytest.raises(InvalidInput, match="bootstrap API key"):
        check_given_secret(secret)


def test_a_known_key_is_forgotten_when_it_is_revoked_or_has_expired():
    keys, scope, secret_hash = KnownKeys(), make_scope(), hash_secret("oct_a")
    keys.remember(secret_hash, scope, at_most=60)
    assert keys.find(secret_hash) == scope
    keys.forget(scope.key_id)
    assert keys.find(secret_hash) is None
    keys.remember(secret_hash, scope, at_most=0)
    assert keys.find(secret_hash) is None
