"""Passwords: both outcomes are in the audit chain, and guessing ends soon."""

import pytest
from django.test import override_settings

from apps.accounts import attempts, selectors
from apps.accounts.models import Membership
from apps.accounts.services import bootstrap_installation, sign_in
from apps.governance.selectors import list_audit
from octavo.kernel import redis
from octavo.kernel.errors import Forbidden, InvalidInput, NotFound, RateLimited

EMAIL, PASSWORD = "ada@example.test", "correct horse battery"
HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def _quick_hashes():
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture
def scope(db):
    installed = bootstrap_installation(admin_email=EMAIL, admin_password=PASSWORD)
    return installed.scope.acting_as(installed.issued_key.key.principal)


def guess(email=EMAIL, address=HERE):
    with pytest.raises(InvalidInput, match="address or the password is wrong") as refusal:
        sign_in(email=email, password="no", address=address)
    return refusal.value.detail


def test_the_right_password_is_the_person_and_is_audited(scope):
    assert sign_in(email=" Ada@Example.test", password=PASSWORD, address=HERE) == scope.principal.id
    entry = list_audit(scope=scope)[0]
    assert (entry.action, entry.outcome, entry.target) == (
        "sign_in",
        "done",
        scope.principal.public_id,
    )
    assert entry.payload == {"email": EMAIL, "address": HERE}


@pytest.mark.parametrize("email", ["nobody@example.test", "", "ada\0@example.test", "x" * 5000])
def test_a_wrong_password_and_an_unknown_person_look_the_same_and_are_audited(scope, email):
    assert guess() == guess(email)
    unknown, known = list_audit(scope=scope)[:2]
    assert {entry.action for entry in (unknown, known)} == {"sign_in"}
    assert {entry.outcome for entry in (unknown, known)} == {"refused"}
    assert (known.target, unknown.target) == (scope.principal.public_id, "unknown")
    assert known.payload == unknown.payload == {"address": HERE}


def test_guessing_one_account_ends_and_stops_nobody_elsewhere(scope):
    for _ in range(attempts.MOST_FOR_ACCOUNT):
        guess()
    with pytest.raises(RateLimited, match="Too many attempts") as refusal:
        sign_in(email=EMAIL, password=PASSWORD, address=HERE)
    assert 0 < refusal.value.retry_after <= attempts.WINDOW_SECONDS
    assert sign_in(email=EMAIL, password=PASSWORD, address=THERE) == scope.principal.id


def test_getting_in_starts_the_count_anew(scope):
    for _ in range(2):
        for _ in range(attempts.MOST_FOR_ACCOUNT - 1):
            guess()
        sign_in(email=EMAIL, password=PASSWORD, address=HERE)


def test_guessing_many_accounts_from_one_address_ends(scope, monkeypatch):
    monkeypatch.setattr(attempts, "MOST_FROM_ADDRESS", 3)
    for number in range(3):
        guess(f"{number}@example.test")
    with pytest.raises(RateLimited):
        sign_in(email="3@example.test", password="no", address=HERE)


def test_without_redis_the_process_counts_for_itself(scope, monkeypatch):
    monkeypatch.setattr(attempts, "client", redis.client.__wrapped__)  # not one that is connected
    monkeypatch.setattr(attempts, "_local", attempts.LocalCounter())
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):  # nobody listens
        sign_in(email=EMAIL, password=PASSWORD, address=HERE)
        for _ in range(attempts.MOST_FOR_ACCOUNT):
            guess()
        with pytest.raises(RateLimited):
            sign_in(email=EMAIL, password=PASSWORD, address=HERE)


def test_counts_of_a_process_are_bounded():
    counter = attempts.LocalCounter(capacity=2)
    assert [counter.add(name)[0] for name in ("a", "b", "b", "c", "b", "a")] == [1, 1, 2, 1, 3, 1]


def test_somebody_in_no_project_does_not_get_in(scope):
    Membership.objects.all().delete()
    with pytest.raises(Forbidden, match="in no project"):
        sign_in(email=EMAIL, password=PASSWORD, address=HERE)


def test_before_the_first_start_nobody_signs_in_and_nothing_is_made(db):
    guess()
    with pytest.raises(NotFound, match="no project yet"):
        selectors.default_project()
