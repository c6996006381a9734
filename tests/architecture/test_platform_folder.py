"""`platform/` is a source root, so the standard library's module of that name must still win."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
WHERE = "import platform; print(platform.__file__)"


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_platform_is_no_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_the_standard_library_wins_from_the_root_of_the_checkout() -> None:
    found = Path(run(sys.executable, "-c", WHERE).stdout.strip())
    assert found.is_relative_to(STANDARD_LIBRARY), found


@pytest.mark.parametrize("module", ["pytest", "mypy", "celery"])
def test_tools_start_as_modules_from_the_root_of_the_checkout(module: str) -> None:
    done = run(sys.executable, "-m", module, "--version")
    assert done.returncode == 0, done.stderr


def test_a_package_named_platform_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "__init__.py").touch()
    found = Path(run(sys.executable, "-c", f"{WHERE}", cwd=tmp_path).stdout.strip())
    assert not found.is_relative_to(STANDARD_LIBRARY)
