"""A login link signs in one person, once, soon."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connections

from apps.accounts.models import LoginLink, User
from apps.accounts.services import issue_login_link, prune, redeem_login_link
from apps.governance.selectors import list_audit
from octavo.kernel.errors import NotFound, Unauthenticated


@pytest.fixture
def token(installation):
    path = issue_login_link(email="Admin@example.test")
    assert path.startswith("/login/")
    return path.removeprefix("/login/")


def test_a_link_works_once(installation, token):
    admin = installation.issued_key.key.principal
    assert redeem_login_link(token=token) == admin.id
    with pytest.raises(Unauthenticated, match="was used"):
        redeem_login_link(token=token)
    entries = list_audit(scope=installation.scope)
    assert [entry.action for entry in entries[:2]] == ["login_link.redeem", "login_link.issue"]
    assert token not in str(entries)
    assert token.encode() not in bytes(LoginLink.objects.get().token_hash)


def test_of_many_who_use_it_at_once_one_gets_in(token):
    def redeem(_):
        try:
            redeem_login_link(token=token)
        except Unauthenticated:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(redeem, range(6))).count(True) == 1


def test_a_link_older_than_fifteen_minutes_is_refused(token, postgres):
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute("UPDATE login_link SET expires_at = now()")
    with pytest.raises(Unauthenticated):
        redeem_login_link(token=token)


def test_an_unknown_token_and_an_inactive_person_are_refused(token):
    with pytest.raises(Unauthenticated):
        redeem_login_link(token="guess")
    User.objects.update(is_active=False)
    with pytest.raises(Unauthenticated):
        redeem_login_link(token=token)
    with pytest.raises(NotFound):
        issue_login_link(email="admin@example.test")


def test_expired_links_and_sessions_are_forgotten_and_live_ones_stay(token, postgres):
    from django.contrib.sessions.models import Session

    issue_login_link(email="admin@example.test")
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute(
            "UPDATE login_link SET expires_at = now() - interval '1 second' "
            "WHERE id = (SELECT min(id::text)::uuid FROM login_link)"
        )
        connection.execute(
            "INSERT INTO django_session (session_key, session_data, expire_date) VALUES "
            "('old', '', now() - interval '1 second'), ('new', '', now() + interval '1 day')"
        )
    assert prune() == 1
    assert LoginLink.objects.count() == 1
    assert [session.session_key for session in Session.objects.all()] == ["new"]


def test_nobody_unknown_gets_a_link(installation):
    with pytest.raises(NotFound, match="eve@"):
        issue_login_link(email="eve@example.test")
