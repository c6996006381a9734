"""Reviewed SQL on Django's own connection, prepared by the server: parsed and planned once, bound
there, in the caller's transaction.

For statements that run with every step or call; the ORM everywhere else.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection


def run(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """The rows that the statement returns; none where it returns nothing.

    Parameters are named and bound by the server, so `statement` casts those whose type does not
    follow from where they stand. Errors are Django's. `jsonb` comes back as text. With
    OCTAVO_DATABASE_PREPARE=0 nothing is prepared.
    """
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, parameters, prepare=True)
        return cursor.fetchall() if cursor.description else []


def fetch(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement that is composed as it is needed: planned for its very values."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []
