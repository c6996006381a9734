"""Before anything starts: a data directory that can be used, one supervisor in it, a free port, and
`octavo.env`."""

import base64
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from octavo.devserver.errors import StartError
from octavo.devserver.ports import free_port, holder_of, is_free
from octavo.devserver.records import read_environment, write_environment

_NEEDED_BYTES = 500 * 2**20
_PORT_PATIENCE = 6.0  # the processes of a supervisor that was killed are on their way out
_ADDRESSES = ("DATABASE_URL", "OCTAVO_DATABASE_OWNER_URL", "REDIS_URL", "OCTAVO_MODEL_SERVER_URL")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the operator set: the environment, then `.env`. Never what an earlier start wrote for
    itself."""

    values: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return bool(self.values.get(name))

    def get(self, name: str) -> str:
        return self.values.get(name, "")


def read_given(root: Path) -> Given:
    layers = (dotenv_values(root / ".env"), os.environ)
    return Given(values={k: v for layer in layers for k, v in layer.items() if v})


def prepare_data_folder(folder: Path) -> None:
    """Make the folder; refuse one that cannot be written to or has no room."""
    try:
        # Under root PostgreSQL's account passes through; what is in it is 0600 or in 0700 folders.
        folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StartError(
            f"The data directory {folder} cannot be written to ({error.strerror}). "
            "Set OCTAVO_DATA_DIR to a folder that can."
        ) from error
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        raise StartError(
            f"The disk that holds {folder} has {free // 2**20} MB free; Octavo needs "
            f"{_NEEDED_BYTES // 2**20} MB "
            "to start. Free some space, or set OCTAVO_DATA_DIR to a folder on another disk."
        )


def empty_metrics_folder(data_dir: Path) -> Path:
    """Where this start's processes add up their counters; those of an earlier start are gone."""
    folder = (data_dir / "metrics").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@contextmanager
def only_one(folder: Path, *, url: str) -> Iterator[None]:
    """Hold the data directory for this process; the lock goes with it, however it ends."""
    path = folder / "up.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid, _, address = file.read().strip().partition(" ")
            raise StartError(
                f"Octavo already runs in {folder} (pid {pid}): {address}\nStop it with Ctrl-C in "
                "its terminal or "
                f"`kill {pid}`, or start another one with its own OCTAVO_DATA_DIR and OCTAVO_PORT."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()} {url}\n")
        file.flush()
        yield


def claim_port(host: str, port: int) -> None:
    """Refuse a port that somebody else listens on, and say who."""
    deadline = time.monotonic() + _PORT_PATIENCE
    while not is_free(host, port):
        if time.monotonic() > deadline:
            who = holder_of(port)
            raise StartError(
                f"Port {port} on {host} is in use{f' by {who}' if who else ''}. "
                f"Stop that program, or set OCTAVO_PORT to another port: `OCTAVO_PORT={port + 10} "
                "make up`."
            )
        time.sleep(0.2)


def model_server_port(given: Given, *, web_port: int) -> int:
    """The port of the model server that we start; 0 when OCTAVO_MODEL_SERVER_URL points to another
    machine."""
    url = given.get("OCTAVO_MODEL_SERVER_URL")
    if url:
        parts = urlsplit(url)
        return (parts.port or 80) if parts.hostname in _LOOPBACK else 0
    return web_port + 1 if is_free("127.0.0.1", web_port + 1) else free_port()


def write_generated(path: Path, given: Given, found: Mapping[str, str]) -> None:
    """Write the addresses that this start uses, given or `found`, so that commands in another
    terminal reach the same servers, and the installation's keys.

    A key once made is kept for ever, given or not: what it sealed could otherwise never be opened.
    """
    kept = read_environment(path)
    keys = {
        "OCTAVO_SECRET_KEY": kept.get("OCTAVO_SECRET_KEY") or secrets.token_urlsafe(48),
        "OCTAVO_ENCRYPTION_KEYS": kept.get("OCTAVO_ENCRYPTION_KEYS")
        or f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }
    chosen = {name: given.get(name) for name in _ADDRESSES if name in given}
    write_environment(path, {**keys, **found, **chosen})
