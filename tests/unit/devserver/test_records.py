"""What a start keeps on disk reads back as it was written, for its owner alone."""

from pathlib import Path

import pytest

from octavo.devserver.records import (
    read_environment,
    read_record,
    write_environment,
    write_private,
    write_record,
)


@pytest.mark.parametrize(
    "value",
    ["plain", "with space", "it's", 'say "hi"', "back\\slash", "$HOME", "a=b#c", "k1:ab+/=="],
)
def test_a_setting_reads_back_as_it_was_written(tmp_path: Path, value: str) -> None:
    write_environment(tmp_path / "octavo.env", {"OCTAVO_X": value})
    assert read_environment(tmp_path / "octavo.env") == {"OCTAVO_X": value}


@pytest.mark.parametrize("value", ["${HOME}", "two\nlines"])
def test_a_value_that_would_read_back_as_another_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ValueError, match="OCTAVO_X"):
        write_environment(tmp_path / "octavo.env", {"OCTAVO_X": value})


def test_a_name_that_is_no_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the name of a setting"):
        write_environment(tmp_path / "octavo.env", {"PATH\nEVIL": "1"})


def test_private_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", b"1")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    write_record(tmp_path / "record.json", {"a": 1})
    with pytest.raises(TypeError):
        write_record(tmp_path / "record.json", {"a": object()})
    assert read_record(tmp_path / "record.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_record_that_is_torn_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"a": ')
    assert read_record(tmp_path / "record.json") == {}
