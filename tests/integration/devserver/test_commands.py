"""What a command says when it cannot start: one clear message, never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from octavo.devserver.processes import ROOT, child_environment


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=child_environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("port", ["abc", "99999", "0"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    done = run("check", OCTAVO_PORT=port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"OCTAVO_PORT is {port!r}; it must be a whole number from 1 to")


def test_a_database_that_does_not_answer_is_said_with_the_next_step(tmp_path: Path) -> None:
    nowhere = f"postgresql://octavo_app@/octavo?host={tmp_path}"
    done = run("showmigrations", DATABASE_URL=nowhere, OCTAVO_DATABASE_POOL="0")
    assert done.returncode == 1
    assert "The database does not answer" in done.stderr
    assert "make up" in done.stderr
    assert "Traceback" not in done.stderr
