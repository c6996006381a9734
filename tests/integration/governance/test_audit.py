"""The audit chain: complete, ordered, and broken visibly by whoever changes it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from django.db import ProgrammingError, connection, connections, transaction

from apps.governance import selectors
from octavo.kernel import audit, ids


@pytest.fixture
def admin(installation):
    return installation.scope.acting_as(installation.issued_key.key.principal)


@pytest.fixture
def tamper(postgres):
    """Changes the record as the worst insider would: as the owner, with the triggers off."""

    def run(statement):
        with psycopg.connect(postgres.owner_url) as connection:
            for switch in ("DISABLE", "ENABLE"):
                connection.execute(f"ALTER TABLE audit_entry {switch} TRIGGER USER")
                connection.execute(f"ALTER TABLE audit_head {switch} TRIGGER USER")
                if switch == "DISABLE":
                    connection.execute(statement)

    return run


def record(scope, count=1, **payload):
    for _ in range(count):
        audit.record(scope=scope, action="test.write", target="thing", payload=payload)


def check(scope):
    return selectors.verify_audit(organisation_id=scope.organisation_id)


def test_entries_are_numbered_linked_and_verified(admin):
    record(admin, 3, note="ça | va")
    entries = selectors.list_audit(scope=admin)
    assert [entry.seq for entry in entries] == list(range(len(entries), 0, -1))
    assert entries[0].payload == {"note": "ça | va"}
    assert check(admin) == (True, len(entries), entries[0].hash)
    page = selectors.list_audit(scope=admin, before=entries[0].seq, limit=1)
    assert page == [entries[1]]


def test_an_organisation_without_entries_verifies(db):
    assert selectors.verify_audit(organisation_id=ids.new()) == (True, 0, "")


def test_each_organisation_has_its_own_chain(admin):
    other = replace(admin, organisation_id=ids.new())
    record(other, 2)
    assert check(other).checked == 2
    assert check(admin).ok


def test_writers_at_once_make_one_unbroken_chain(admin):
    before = check(admin).checked

    def write(_):
        for _ in range(20):
            with transaction.atomic():
                record(admin)
        connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert check(admin)[:2] == (True, before + 120)


def test_a_rolled_back_write_leaves_no_entry_and_no_gap(admin):
    before = check(admin)
    with transaction.atomic():
        record(admin)
        transaction.set_rollback(True)
    assert check(admin) == before
    record(admin)
    assert check(admin)[:2] == (True, before.checked + 1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor = 'user:eve'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "UPDATE audit_head SET seq = 0",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head (organisation_id, seq, hash) VALUES (gen_random_uuid(), 0, '')",
        "UPDATE decision SET outcome = 'allow'",
        "UPDATE policy_bundle SET policies = ''",
        "DELETE FROM policy_bundle",
        "ALTER TABLE audit_entry DISABLE TRIGGER USER",
    ],
)
def test_the_role_that_runs_octavo_cannot_change_the_record(admin, statement):
    with connection.cursor() as cursor, pytest.raises(ProgrammingError, match=r"permission|owner"):
        cursor.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor = 'user:eve'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
    ],
)
def test_even_the_owner_is_refused_by_the_triggers(admin, postgres, statement):
    with (
        psycopg.connect(postgres.owner_url) as owner,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        owner.execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entry SET actor = 'user:eve' WHERE seq = 2",
        "UPDATE audit_entry SET payload = '{}' WHERE seq = 3",
        "UPDATE audit_entry SET at = at + interval '1 microsecond' WHERE seq = 1",
        "UPDATE audit_entry SET actor = actor || '|x', action = 'x' WHERE seq = 2",
        "DELETE FROM audit_entry WHERE seq = 2",
        "DELETE FROM audit_entry WHERE seq = 1",
        "DELETE FROM audit_entry WHERE seq = (SELECT max(seq) FROM audit_entry)",
        "DELETE FROM audit_entry",
        "UPDATE audit_head SET hash = 'x'",
        "DELETE FROM audit_head",
    ],
)
def test_tampering_by_somebody_with_every_right_is_found(admin, tamper, change):
    record(admin, 3, amount=5)
    assert check(admin).ok
    tamper(change)
    assert not check(admin).ok


def test_a_chain_does_not_pass_for_another_organisations(admin, tamper):
    record(admin, 3)
    other = ids.new()
    tamper(f"UPDATE audit_entry SET organisation_id = '{other}'")
    tamper(f"UPDATE audit_head SET organisation_id = '{other}'")
    found = selectors.verify_audit(organisation_id=other)
    assert found.checked > 0
    assert not found.ok


def test_what_a_writer_says_about_number_time_and_hash_is_ignored(admin):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_entry (organisation_id, seq, at, project_id, actor_id, actor, "
            "action, target, outcome, payload, prev_hash, hash) VALUES "
            "(%s, 99, 'epoch', %s, %s, 'a', 'b', 'c', 'd', '{}', 'x', 'y')",
            [admin.organisation_id, admin.project_id, admin.principal.id],
        )
    entry = selectors.list_audit(scope=admin)[0]
    assert entry.seq != 99
    assert entry.at.year > 1970
    assert check(admin).ok
