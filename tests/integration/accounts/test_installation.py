"""A first start makes what is missing; every further one finds it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.contrib.auth import authenticate
from django.db import IntegrityError, connections

from apps.accounts import selectors, services
from apps.accounts.credentials import KnownKeys
from apps.accounts.models import User
from apps.accounts.services import authenticate_key, bootstrap_installation
from apps.governance.selectors import list_audit, verify_audit
from octavo.kernel import ids
from octavo.kernel.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from octavo.kernel.scope import SYSTEM, PrincipalKind

GIVEN = "oct_" + "k3y" * 9


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    """The same given key stands for another installation in every test."""
    monkeypatch.setattr(services, "_known_keys", KnownKeys())


def test_the_first_start_makes_everything_and_the_second_nothing():
    first = bootstrap_installation()
    assert (first.admin_email, first.admin_created) == ("admin@localhost", True)
    assert first.scope.principal == SYSTEM
    assert first.project == selectors.default_project()
    scope = authenticate_key(secret=first.issued_key.secret)
    assert scope.principal.name == "admin@localhost"
    entries = list_audit(scope=scope)
    assert {entry.action for entry in entries} == {"project.create", "member.add", "key.issue"}
    second = bootstrap_installation()
    assert (second.admin_created, second.issued_key) == (False, None)
    assert (second.project, second.scope) == (first.project, first.scope)
    assert list_audit(scope=scope) == entries
    assert first.issued_key.secret not in str(entries)


@pytest.mark.parametrize("api_key", ["", GIVEN])
def test_of_many_first_starts_at_once_one_makes_the_key(api_key):
    together = Barrier(6)

    def start(_):
        together.wait(5)
        try:
            return bootstrap_installation(api_key=api_key)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(start, range(6)))
    assert [start.issued_key is None for start in made].count(False) == 1
    assert len(selectors.list_keys(scope=made[0].scope)) == 1


def test_a_secret_is_in_nothing_that_is_printed():
    first = bootstrap_installation()
    assert first.issued_key.secret not in repr(first)
    assert first.issued_key.secret not in repr(first.issued_key)


def test_a_given_admin_and_key_are_used_and_stay_as_they_are():
    given = {"admin_email": " Ada@Example.TEST ", "admin_password": "s3cret", "api_key": GIVEN}
    first = bootstrap_installation(**given)
    assert first.admin_email == "ada@example.test"
    assert first.issued_key.secret == GIVEN
    assert authenticate_key(secret=GIVEN).principal.name == "ada@example.test"
    assert authenticate(username="ADA@example.test", password="s3cret") is not None
    second = bootstrap_installation(**{**given, "admin_password": "other"})
    assert (second.admin_created, second.issued_key) == (False, None)
    assert authenticate(username="ada@example.test", password="s3cret") is not None
    third = bootstrap_installation()
    assert third.admin_email == "ada@example.test"
    assert third.issued_key is None


def test_without_a_password_nobody_signs_in_with_one():
    bootstrap_installation(admin_email="ada@example.test")
    assert authenticate(username="ada@example.test", password="") is None


def test_bad_settings_are_refused_before_anything_is_made():
    with pytest.raises(InvalidInput, match="OCTAVO_ADMIN_EMAIL"):
        bootstrap_installation(admin_email="nobody")
    with pytest.raises(InvalidInput, match="bootstrap API key"):
        bootstrap_installation(api_key="oct_short")
    with pytest.raises(NotFound, match=r"manage\.py bootstrap"):
        selectors.default_project()


def test_a_person_has_one_account_whatever_the_case_of_the_address(installation):
    with pytest.raises(IntegrityError):
        User.objects.create(email="Ada@example.test")


def test_scopes_are_made_on_ground_that_exists(installation):
    scope = installation.scope
    assert selectors.system_scope(project_id=scope.project_id) == scope
    assert selectors.get_project(project_id=scope.project_id) == installation.project
    user_id = installation.issued_key.key.principal.id
    person = selectors.scope_for_user(user_id=user_id)
    assert person.principal.kind is PrincipalKind.USER
    assert person == selectors.scope_for_user(user_id=user_id, project_id=scope.project_id)
    with pytest.raises(NotFound):
        selectors.system_scope(project_id=ids.new())
    with pytest.raises(Forbidden):
        selectors.scope_for_user(user_id=user_id, project_id=ids.new())
    User.objects.filter(id=user_id).update(is_active=False)
    with pytest.raises(Forbidden):
        selectors.scope_for_user(user_id=user_id)
    assert verify_audit(organisation_id=scope.organisation_id).ok


def test_an_inactive_persons_key_no_longer_works():
    issued = bootstrap_installation(api_key=GIVEN).issued_key
    User.objects.update(is_active=False)
    with pytest.raises(Unauthenticated):
        authenticate_key(secret=issued.secret)
