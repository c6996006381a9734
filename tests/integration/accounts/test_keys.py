"""API keys from issue to revocation."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts import selectors, services
from apps.accounts.credentials import KnownKeys
from apps.accounts.models import ApiKey, Membership
from apps.accounts.types import Role
from apps.governance.selectors import list_audit
from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from octavo.kernel import ids
from octavo.kernel.clock import now
from octavo.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from octavo.kernel.scope import SYSTEM, Principal, PrincipalKind


@pytest.fixture
def admin(installation, monkeypatch):
    monkeypatch.setattr(services, "_known_keys", KnownKeys())
    return services.authenticate_key(secret=installation.issued_key.secret)


def test_a_key_stands_for_its_owner_with_its_scopes(admin):
    issued = services.issue_key(scope=admin, name=" ci ", scopes=("run.*", "context.read"))
    scope = services.authenticate_key(secret=issued.secret)
    assert scope.principal == admin.principal
    assert (scope.key_id, scope.key_scopes) == (issued.key.id, ("run.*", "context.read"))
    assert issued.key.name == "ci"
    assert issued.secret.startswith(issued.key.prefix)
    stored = ApiKey.objects.get(id=issued.key.id)
    assert bytes(stored.secret_hash) != issued.secret.encode()
    assert issued.secret not in str(list_audit(scope=admin))


def test_a_service_and_an_agent_have_keys_of_their_own(admin):
    bot = services.create_service(scope=admin, name="bot", role=Role.VIEWER)
    agent = Principal(kind=PrincipalKind.AGENT, id=ids.new(), name="guide")
    for principal in (bot, agent):
        issued = services.issue_key(scope=admin, name="own", principal=principal)
        assert services.authenticate_key(secret=issued.secret).principal == principal
    with pytest.raises(Conflict, match="already a service 'bot'"):
        services.create_service(scope=admin, name="bot", role=Role.ADMIN)


def test_a_revoked_key_stops_at_once_here_and_for_good(admin):
    issued = services.issue_key(scope=admin, name="ci")
    services.authenticate_key(secret=issued.secret)
    revoked = services.revoke_key(scope=admin, key_id=issued.key.id)
    assert revoked.revoked_at is not None
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        services.authenticate_key(secret=issued.secret)
    assert services.revoke_key(scope=admin, key_id=issued.key.id) == revoked
    actions = [entry.action for entry in list_audit(scope=admin)]
    assert actions.count("key.revoke") == 1


def test_an_expired_key_is_refused(admin):
    issued = services.issue_key(scope=admin, name="ci", expires_at=now() + timedelta(hours=1))
    services.authenticate_key(secret=issued.secret)
    ApiKey.objects.filter(id=issued.key.id).update(expires_at=now())
    services._known_keys.forget(issued.key.id)
    with pytest.raises(Unauthenticated):
        services.authenticate_key(secret=issued.secret)
    with pytest.raises(InvalidInput, match="in the past"):
        services.issue_key(scope=admin, name="ci", expires_at=now())


@pytest.mark.parametrize("secret", ["", "oct_", "oct_" + "x" * 43, "Bearer x", "oct_\ud800"])
def test_any_other_secret_is_refused(admin, secret):
    with pytest.raises(Unauthenticated):
        services.authenticate_key(secret=secret)


def test_a_key_known_for_a_moment_costs_no_query_and_is_stamped_seldom(admin):
    issued = services.issue_key(scope=admin, name="ci")

    def queries():
        with CaptureQueriesContext(connection) as captured:
            services.authenticate_key(secret=issued.secret)
        return [query["sql"].split()[0] for query in captured]

    assert queries() == ["SELECT", "UPDATE"]
    assert queries() == []
    services._known_keys.forget(issued.key.id)
    assert queries() == ["SELECT"]
    assert selectors.list_keys(scope=admin)[0].last_used_at is not None


def test_a_key_made_with_a_key_reaches_no_further(admin):
    narrow = services.issue_key(scope=admin, name="keys", scopes=("key.manage", "run.*"))
    scope = services.authenticate_key(secret=narrow.secret)
    services.issue_key(scope=scope, name="runs", scopes=("run.start",))
    for wider in (("*",), ("context.read",), ("run.*", "model.call")):
        with pytest.raises(Forbidden) as refusal:
            services.issue_key(scope=scope, name="wide", scopes=wider)
        assert refusal.value.policies == ("key-scope",)


def test_a_key_made_with_a_key_lasts_no_longer(admin):
    end = now() + timedelta(hours=1)
    short = services.issue_key(scope=admin, name="short", scopes=("*",), expires_at=end)
    scope = services.authenticate_key(secret=short.secret)
    assert services.issue_key(scope=scope, name="same").key.expires_at == end
    sooner = end - timedelta(minutes=1)
    assert (
        services.issue_key(scope=scope, name="sooner", expires_at=sooner).key.expires_at == sooner
    )
    with pytest.raises(Forbidden, match="cannot last longer") as refusal:
        services.issue_key(scope=scope, name="later", expires_at=end + timedelta(seconds=1))
    assert refusal.value.policies == ("key-scope",)


def test_a_key_that_was_revoked_elsewhere_makes_no_key(admin):
    ApiKey.objects.filter(id=admin.key_id).update(revoked_at=now())
    with pytest.raises(Unauthenticated, match="was revoked"):
        services.issue_key(scope=admin, name="ci")


@pytest.mark.parametrize("scopes", [(), ("run",), ("context.*", "fly.*"), ("",)])
def test_scopes_that_name_no_action_are_refused(admin, scopes):
    with pytest.raises(InvalidInput, match="scopes are actions"):
        services.issue_key(scope=admin, name="ci", scopes=scopes)


def test_only_the_person_gets_a_persons_key_and_octavo_gets_none(admin):
    bob = Principal(kind=PrincipalKind.USER, id=ids.new(), name="bob@example.test")
    with pytest.raises(Forbidden, match="Only bob@"):
        services.issue_key(scope=admin, name="ci", principal=bob)
    with pytest.raises(InvalidInput, match="no API key"):
        services.issue_key(scope=admin, name="ci", principal=SYSTEM)
    stray = Principal(kind=PrincipalKind.SERVICE, id=ids.new(), name="stray")
    with pytest.raises(NotFound):
        services.issue_key(scope=admin, name="ci", principal=stray)


def test_members_manage_no_keys_and_no_services(admin):
    member = admin.acting_as(services.create_service(scope=admin, name="bot", role=Role.MEMBER))
    for attempt in (
        lambda: services.issue_key(scope=member, name="own"),
        lambda: services.revoke_key(scope=member, key_id=admin.key_id),
        lambda: selectors.list_keys(scope=member),
        lambda: services.create_service(scope=member, name="other", role=Role.ADMIN),
    ):
        with pytest.raises(Forbidden, match="role admin"):
            attempt()


def test_somebody_who_left_the_project_may_do_nothing_with_the_key_they_kept(admin):
    Membership.objects.filter(user_id=admin.principal.id).delete()
    decision = decisions.decide(
        scope=admin, action=Action.RUN_READ, resource=Resource.project_of(admin)
    )
    assert decision.policies == ("default-deny",)


def test_the_key_of_somebody_who_left_the_project_is_refused(admin, monkeypatch):
    bot = services.create_service(scope=admin, name="bot", role=Role.VIEWER)
    agent = Principal(kind=PrincipalKind.AGENT, id=ids.new(), name="guide")
    of_bot, of_agent, own = (
        services.issue_key(scope=admin, name="own", principal=principal).secret
        for principal in (bot, agent, None)
    )
    for secret in (of_bot, of_agent, own):
        services.authenticate_key(secret=secret)
    Membership.objects.all().delete()
    monkeypatch.setattr(services, "_known_keys", KnownKeys())
    for secret in (of_bot, own):
        with pytest.raises(Unauthenticated, match="left the project"):
            services.authenticate_key(secret=secret)
    assert services.authenticate_key(secret=of_agent).principal == agent


def test_keys_are_listed_newest_first_within_the_project(admin):
    issued = [services.issue_key(scope=admin, name=f"key {n}").key.id for n in range(3)]
    page = selectors.list_keys(scope=admin, limit=2)
    assert [key.id for key in page] == [issued[2], issued[1]]
    rest = selectors.list_keys(scope=admin, before=page[-1].id)
    assert [key.id for key in rest] == [issued[0], admin.key_id]
    with pytest.raises(NotFound, match="no key"):
        services.revoke_key(scope=admin, key_id=ids.new())
