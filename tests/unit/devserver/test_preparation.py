"""Nothing starts in a data directory that is full, closed or taken, and keys are never lost."""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from octavo.devserver import preparation
from octavo.devserver.errors import StartError
from octavo.devserver.preparation import (
    Given,
    model_server_port,
    only_one,
    prepare_data_folder,
    read_given,
    write_generated,
)
from octavo.devserver.records import read_environment

NOTHING_GIVEN = Given(values={})


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "octavo.env"
    write_generated(path, NOTHING_GIVEN, {"REDIS_URL": "redis://one"})
    first = read_environment(path)
    write_generated(path, NOTHING_GIVEN, {"REDIS_URL": "redis://two"})
    second = read_environment(path)
    assert second == first | {"REDIS_URL": "redis://two"}
    key_id, _, key = first["OCTAVO_ENCRYPTION_KEYS"].partition(":")
    assert (key_id, len(base64.b64decode(key))) == ("k1", 32)
    assert len(first["OCTAVO_SECRET_KEY"]) >= 50


def test_commands_in_another_terminal_find_the_servers_of_the_last_start(tmp_path: Path) -> None:
    given = Given(values={"DATABASE_URL": "postgresql://elsewhere/octavo"})
    path = tmp_path / "octavo.env"
    write_generated(path, NOTHING_GIVEN, {"OCTAVO_DATABASE_OWNER_URL": "postgresql://embedded"})
    write_generated(path, given, {"REDIS_URL": "redis://own"})
    found = read_environment(path)
    assert found["DATABASE_URL"] == "postgresql://elsewhere/octavo"
    assert found["REDIS_URL"] == "redis://own"
    assert "OCTAVO_DATABASE_OWNER_URL" not in found  # it belonged to another database


def test_the_environment_wins_over_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("REDIS_URL=redis://file\nOCTAVO_DEBUG=\nOCTAVO_HOST=::1\n")
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    given = read_given(tmp_path)
    assert given.get("REDIS_URL") == "redis://environment"
    assert given.get("OCTAVO_HOST") == "::1"
    assert "OCTAVO_DEBUG" not in given


def test_a_model_server_elsewhere_is_not_started_here() -> None:
    given = Given(values={"OCTAVO_MODEL_SERVER_URL": "http://models.example:9000"})
    assert model_server_port(given, web_port=8000) == 0


def test_a_model_server_on_this_machine_keeps_the_given_port() -> None:
    given = Given(values={"OCTAVO_MODEL_SERVER_URL": "http://localhost:9000"})
    assert model_server_port(given, web_port=8000) == 9000


def test_a_full_disk_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "_NEEDED_BYTES", shutil.disk_usage(tmp_path).total * 2)
    with pytest.raises(StartError, match=r"MB free; Octavo needs .* OCTAVO_DATA_DIR"):
        prepare_data_folder(tmp_path / "data")


def test_a_data_directory_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StartError, match="cannot be written to"):
        prepare_data_folder(tmp_path / "data")


def test_a_new_data_directory_cannot_be_listed_by_others(tmp_path: Path) -> None:
    prepare_data_folder(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o066 == 0


def test_a_second_supervisor_is_told_who_runs(tmp_path: Path) -> None:
    with (
        only_one(tmp_path, url="http://127.0.0.1:8000"),
        pytest.raises(StartError, match=rf"pid {os.getpid()}\): http://127.0.0.1:8000"),
        only_one(tmp_path, url="http://127.0.0.1:9000"),
    ):
        pass


def test_the_lock_goes_with_a_killed_supervisor(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from octavo.devserver.preparation import only_one\n"
        "with only_one(Path(sys.argv[1]), url='u'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    with only_one(tmp_path, url="http://127.0.0.1:8000"):
        assert str(os.getpid()) in (tmp_path / "up.lock").read_text()
