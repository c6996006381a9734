"""The `bench` fixture: an installation on a scripted model, with the test tools."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def bench(installation: Any, db: Any, tmp_path: Path) -> Iterator[Any]:
    from tests.runs import bench_on  # imports models: Django is configured by now

    yield from bench_on(installation.scope, db.superuser_url, tmp_path)
