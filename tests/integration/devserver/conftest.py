"""These tests start servers of their own in folders of their own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def db() -> None:
    """Not the harness's database."""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory with a short path that PostgreSQL's own account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="octavo-dev-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
