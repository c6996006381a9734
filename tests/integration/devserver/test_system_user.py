"""Under root, servers run as an unprivileged account that reaches what it runs."""

import os
import subprocess
from pathlib import Path

import pytest

from octavo.devserver.system_user import reachable_copy, server_account

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")


def test_what_the_account_may_not_reach_is_copied_once_and_runs_there(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    tree = closed / "package"
    tree.mkdir()
    (tree / "program").write_text("#!/bin/sh\necho ran\n")
    (tree / "program").chmod(0o755)
    account = server_account()
    into = data_dir / "binaries"
    into.mkdir()
    copy = reachable_copy(tree, program="program", account=account, into=into)
    assert copy == into / "package"
    assert reachable_copy(tree, program="program", account=account, into=into) == copy
    ran = subprocess.run(
        [copy / "program"], check=True, capture_output=True, cwd="/", **account.popen_options()
    )
    assert ran.stdout == b"ran\n"


def test_what_the_account_may_reach_is_used_where_it_is(data_dir: Path) -> None:
    (data_dir / "program").write_text("#!/bin/sh\n")
    (data_dir / "program").chmod(0o755)
    account = server_account()
    into = data_dir / "binaries"
    assert reachable_copy(data_dir, program="program", account=account, into=into) == data_dir
    assert not into.exists()


def test_servers_never_run_as_root() -> None:
    command = ["/bin/sh", "-c", "id -u; id -G"]
    options = server_account().popen_options()
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/", **options)
    assert "0" not in ran.stdout.split()
