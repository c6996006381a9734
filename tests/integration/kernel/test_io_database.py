"""Nobody holds a database connection or a transaction while waiting for the network."""

import asyncio
import time

import psycopg
import pytest
from django.db import ProgrammingError, connection, connections, transaction

from octavo.kernel import audit, ids, io
from octavo.kernel.scope import SYSTEM, Scope


def query() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return int(cursor.fetchone()[0])


def test_a_call_gives_the_connection_back_before_it_waits() -> None:
    query()
    mine = connections["default"]
    assert mine.connection is not None

    def until_given_back() -> None:
        while mine.connection is not None:
            time.sleep(0.001)

    io.call(asyncio.to_thread(until_given_back), timeout=5)
    assert query() == 1


def test_a_call_inside_a_transaction_is_refused() -> None:
    async def never() -> None:
        raise AssertionError("ran inside a transaction")

    with transaction.atomic(), pytest.raises(io.MisusedError, match="commit first"):
        io.call(never(), timeout=5)
    assert query() == 1


def test_database_work_of_async_code_gives_its_connection_back() -> None:
    async def ask() -> bool:
        wrapper = await io.db(lambda: (query(), connections["default"])[1])
        return wrapper.connection is None

    assert asyncio.run(ask())


def test_many_more_tasks_than_connections_all_get_their_turn() -> None:
    async def flood() -> list[int]:
        return await asyncio.gather(*(io.db(query) for _ in range(100)))

    assert asyncio.run(flood()) == [1] * 100


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE outbox ADD COLUMN x int", "CREATE TABLE x (y int)", "DROP TABLE outbox"],
)
def test_the_running_role_cannot_change_tables(statement: str) -> None:
    with connection.cursor() as cursor, pytest.raises(ProgrammingError) as refused:
        cursor.execute(statement)
    assert isinstance(refused.value.__cause__, psycopg.errors.InsufficientPrivilege)


def test_nothing_is_audited_without_a_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_keeper", None)
    ground = ids.new()
    scope = Scope(organisation_id=ground, team_id=ground, project_id=ground, principal=SYSTEM)
    with pytest.raises(RuntimeError, match="No audit keeper"):
        audit.record(scope=scope, action="x.y", target="z")
