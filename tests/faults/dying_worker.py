"""A worker that dies by itself, at random, just before or just after it commits.

`OCTAVO_TEST_DIES_EVERY` is how many commits there are on average between two deaths.
"""

import os
import random
from collections.abc import Callable
from typing import Any

from workers import app  # sets Django up, so it comes first

# isort: split
from django.db.backends.postgresql.base import DatabaseWrapper

from octavo.kernel import sql

_EVERY = int(os.environ["OCTAVO_TEST_DIES_EVERY"])
_chance = random.Random()

app.loader.import_default_modules()


def _perhaps() -> None:
    if _chance.random() * 2 * _EVERY < 1:
        os._exit(137)


def _dying[**P, T](commit: Callable[P, T]) -> Callable[P, T]:
    def around(*args: P.args, **kwargs: P.kwargs) -> T:
        _perhaps()
        result = commit(*args, **kwargs)
        _perhaps()
        return result

    return around


_database: Any = DatabaseWrapper
_database._commit = _dying(_database._commit)
sql.run = _dying(sql.run)
