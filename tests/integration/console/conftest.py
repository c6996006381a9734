"""What tests of pages share: a browser of the admin, and agents whose model is scripted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client


@pytest.fixture
def bench(installation: Any, db: Any, tmp_path: Path) -> Iterator[Any]:
    from tests.runs import bench_on  # imports models: Django is configured by now

    yield from bench_on(installation.scope, db.superuser_url, tmp_path)


@pytest.fixture
def admin(installation: Any) -> Client:
    """Signed in, without the checks of forged forms."""
    from django.contrib.auth import get_user_model

    client = Client(headers={"Host": "localhost"}, raise_request_exception=False)
    client.force_login(get_user_model().objects.get(email=installation.admin_email))
    return client
