"""Several statements in one trip to the database, all of which happen or none.

PostgreSQL runs what arrives in one simple query as one transaction, so BEGIN and COMMIT need no
trips of their own. For the hot path only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL with `%s` placeholders, and their values."""

    sql: str
    values: Sequence[Any]


def run_together(*statements: Statement) -> None:
    """In this order; what they answer is dropped."""
    if not statements:
        return
    values = [value for statement in statements for value in statement.values]
    with connection.cursor() as cursor:
        cursor.execute(";".join(statement.sql for statement in statements), values)
