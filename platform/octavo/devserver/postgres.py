"""A PostgreSQL of our own: made once, on a Unix socket only, adopted when it already runs.

The data directory keeps a record (`postgres.json`, 0600) of where the cluster and its socket lie
and of three passwords: the superuser's, the owner's (migrates) and the running role's.
"""

import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from octavo.devserver import cluster
from octavo.devserver.errors import StartError
from octavo.devserver.records import read_record, write_record
from octavo.devserver.system_user import ServerAccount, server_account

DATABASE = "octavo"
OWNER = "octavo_owner"
APP = "octavo_app"
SUPERUSER = "postgres"

_RECORD = "postgres.json"
_LIBRARY_OF_ROOT = Path("/var/lib/octavo")
_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET = 100  # bytes; Linux allows 107, macOS 103


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAddress:
    """Where the server is, or will be once started."""

    home: Path
    socket: Path
    passwords: Mapping[str, str]

    @property
    def cluster(self) -> Path:
        return self.home / "postgres"

    def url(self, role: str, database: str = DATABASE) -> str:
        host = quote(str(self.socket), safe="")
        return f"postgresql://{role}:{quote(self.passwords[role], safe='')}@/{database}?host={host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running server. It outlives whoever started it, until `stop`."""

    address: PostgresAddress
    pid: int
    adopted: bool

    @property
    def owner_url(self) -> str:
        return self.address.url(OWNER)

    @property
    def app_url(self) -> str:
        return self.address.url(APP)

    @property
    def superuser_url(self) -> str:
        return self.address.url(SUPERUSER)

    def stop(self) -> None:
        """Fast shutdown: sessions end, what was committed stays; returns when it is gone."""
        cluster.stop(self.address.cluster)


def postgres_address(data_dir: Path) -> PostgresAddress:
    """The address kept for this data directory; made, with fresh passwords, the first time."""
    account = server_account()
    record = read_record(data_dir / _RECORD)
    home = Path(record["home"]) if "home" in record else _choose_home(data_dir, account)
    socket = Path(record.get("socket") or home / "socket")
    if not _is_private(socket, account):
        socket = _make_socket_folder(home, account)
    passwords = record.get("passwords") or {
        role: secrets.token_urlsafe(24) for role in (SUPERUSER, OWNER, APP)
    }
    wanted = {"home": str(home), "socket": str(socket), "passwords": passwords}
    if wanted != record:
        write_record(data_dir / _RECORD, wanted)
    return PostgresAddress(home=home, socket=socket, passwords=passwords)


def ensure_postgres(data_dir: Path, *, durable: bool = True) -> PostgresServer:
    """Start the server of `data_dir`, or adopt the one that runs; database and roles exist
    afterwards.

    `durable=False` (tests) gives up safety against power loss, not against a kill, for speed.
    Raises `StartError`.
    """
    account = server_account()
    address = postgres_address(data_dir)
    pid = cluster.running_pid(address.cluster)
    if pid:
        return PostgresServer(address=address, pid=pid, adopted=True)
    binaries = cluster.find_binaries(address.home, account)
    if not (address.cluster / "PG_VERSION").exists():
        cluster.initialise(address.cluster, binaries, account, address.passwords[SUPERUSER])
    cluster.check_cluster(address.cluster, binaries, account)
    pid = cluster.start(
        address.cluster,
        binaries,
        account,
        socket=address.socket,
        log=data_dir / "postgres.log",
        durable=durable,
    )
    server = PostgresServer(address=address, pid=pid, adopted=False)
    _ensure_roles(server)
    return server


def _choose_home(data_dir: Path, account: ServerAccount) -> Path:
    """The data directory; under root, where the server's account may not enter it, a folder in
    /var/lib/octavo."""
    data_dir = data_dir.resolve()
    if account.can_enter(data_dir):
        return data_dir
    try:
        _LIBRARY_OF_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
        home = Path(tempfile.mkdtemp(prefix=f"{data_dir.parent.name}-", dir=_LIBRARY_OF_ROOT))
        home.chmod(0o711)
    except OSError as error:
        raise StartError(
            f"PostgreSQL runs as {account.name!r}, who may not enter {data_dir}, and "
            f"{_LIBRARY_OF_ROOT} cannot be "
            f"used instead ({error}). Set OCTAVO_DATA_DIR to a folder that {account.name!r} may "
            "enter."
        ) from error
    return home


def _is_private(socket: Path, account: ServerAccount) -> bool:
    """Whether the folder is still there and only the server's account can put a socket into it."""
    if not socket.is_dir() or socket.is_symlink():
        return False
    found = socket.stat()
    return found.st_uid == account.uid and found.st_mode & 0o777 == 0o700


def _make_socket_folder(home: Path, account: ServerAccount) -> Path:
    """Beside the cluster, or in a temporary folder with a short name where that path would be too
    long."""
    folder = home / "socket"
    if len(str(folder / _SOCKET_NAME).encode()) > _LONGEST_SOCKET:
        folder = Path(tempfile.mkdtemp(prefix="octavo-", dir="/tmp"))
    folder.mkdir(exist_ok=True)
    account.take(folder)
    return folder


def _ensure_roles(server: PostgresServer) -> None:
    """The owner and the running role, both without any special right, and the database with
    pgvector in it."""
    passwords = server.address.passwords
    admin = server.address.url(SUPERUSER, "postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        for role in (OWNER, APP):
            known = connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", [role]
            ).fetchone()
            verb = sql.SQL("ALTER" if known else "CREATE")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                    verb, sql.Identifier(role), sql.Literal(passwords[role])
                )
            )
        known = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
        ).fetchone()
        if not known:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(OWNER)
                )
            )
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        # pgvector is not a trusted extension, so its migration needs it to be there.
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
