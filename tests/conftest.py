"""The test harness: one PostgreSQL and one Redis a run, a database cut from a migrated template for
each worker.

Servers start when the first test asks for them, so that `pytest tests/unit` starts none. Fixtures:

- `db`: the worker's database, empty but for what migrations put there. Tests really commit;
  afterwards every table is emptied and Redis flushed. Every test below tests/integration and
  tests/faults has it without asking.
- `installation`: `db` with the organisation, project, admin and key of a fresh installation.
- `postgres`, `redis_url`, `free_port`, `processes`: addresses, a port, and real processes on this
  worker's database.
"""

import base64
import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from octavo.devserver import ports
from octavo.devserver.postgres import APP, OWNER, SUPERUSER, PostgresAddress, postgres_address
from octavo.devserver.processes import (
    RunningProcess,
    child_environment,
    is_ready,
    model_command,
    start_process,
    web_command,
    worker_command,
)
from octavo.devserver.redis import redis_address

TESTS = Path(__file__).resolve().parent
NEED_DATABASE = ("integration", "faults")
TEMPLATE = "octavo"
STATE = "OCTAVO_TEST_STATE"  # the folder that the workers of one run share
PREFIX = "octavo-test-"
KEPT = "harness"  # schema holding the rows that migrations put into tables


# Settings, before Django reads them


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")
    if not is_worker:
        _sweep_abandoned()
        state = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
        state.chmod(0o711)  # PostgreSQL's own account passes through
        (state / "owner.pid").write_text(str(os.getpid()))
        os.environ[STATE] = str(state)
    state = Path(os.environ[STATE])
    number = int(config.workerinput["workerid"].removeprefix("gw")) if is_worker else -1
    assert "octavo.settings" not in sys.modules, (
        "the settings were read before the harness set them"
    )
    os.environ.update(_settings(state, number + 1))
    import django

    django.setup()


def _settings(state: Path, number: int) -> dict[str, str]:
    """Everything a process of this worker needs to know; number 0 is a run without workers."""
    with _locked(state):
        postgres, redis = postgres_address(state), redis_address(state)
        keys = state / "encryption_key"
        if not keys.exists():
            keys.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    database = f"{TEMPLATE}_{number}"
    data = state / f"data-{number}"
    data.mkdir(exist_ok=True)
    return {
        "DJANGO_SETTINGS_MODULE": "octavo.settings",
        "DATABASE_URL": postgres.url(APP, database),
        "OCTAVO_DATABASE_OWNER_URL": postgres.url(OWNER, database),
        "REDIS_URL": redis.url(number),
        "OCTAVO_DATA_DIR": str(data),
        "OCTAVO_SECRET_KEY": "only-for-tests-" + "x" * 40,
        "OCTAVO_ENCRYPTION_KEYS": f"k1:{keys.read_text()}",
        "OCTAVO_MODELS_DIR": os.environ.get("OCTAVO_MODELS_DIR")
        or str(Path.home() / ".cache" / "octavo" / "models"),
        "OCTAVO_LEASE_SECONDS": os.environ.get("OCTAVO_LEASE_SECONDS", "3"),
    }


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    with (state / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# Servers


def _start_servers(state: Path) -> None:
    """Start both servers and migrate the template, once for all workers of the run."""
    from octavo.devserver.postgres import ensure_postgres
    from octavo.devserver.redis import ensure_redis

    with _locked(state):
        if (state / "ready").exists():
            return
        if (state / "failed").exists():
            pytest.fail((state / "failed").read_text(), pytrace=False)
        postgres = ensure_postgres(state, durable=False).address
        ensure_redis(state)
        _migrate(state, postgres)
        with psycopg.connect(postgres.url(SUPERUSER, TEMPLATE), autocommit=True) as connection:
            _keep_seeded_rows(connection)
        (state / "ready").touch()


def _migrate(state: Path, postgres: PostgresAddress) -> None:
    """In a process of its own, through the very command that an operator runs."""
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"],
        cwd=TESTS.parent,
        env=child_environment(
            {
                "DATABASE_URL": postgres.url(APP, TEMPLATE),
                "OCTAVO_DATABASE_OWNER_URL": postgres.url(OWNER, TEMPLATE),
                "OCTAVO_DATA_DIR": str(state),
            }
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-6:])
        (state / "failed").write_text(f"manage.py migrate failed on the test template:\n{last}")
        pytest.fail((state / "failed").read_text(), pytrace=False)


def _tables(connection: "psycopg.Connection[Any]") -> list[str]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace "
        "AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> "
        "'django_migrations' ORDER BY 1"
    )
    return [name for (name,) in rows]


def _keep_seeded_rows(connection: "psycopg.Connection[Any]") -> None:
    """Copy the rows that migrations inserted, so that emptying the tables can put them back."""
    connection.execute(f"CREATE SCHEMA {KEPT}")
    for table in _tables(connection):
        name = sql.Identifier(table)
        if connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(name)).fetchone():
            connection.execute(
                sql.SQL("CREATE TABLE {}.{} AS TABLE public.{}").format(
                    sql.Identifier(KEPT), name, name
                )
            )


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or STATE not in os.environ:
        return
    _remove(Path(os.environ.pop(STATE)))


def _remove(state: Path) -> None:
    from octavo.devserver import cluster
    from octavo.devserver.redis import stop_redis

    cluster.stop(postgres_address(state).cluster)
    stop_redis(redis_address(state))
    shutil.rmtree(state, ignore_errors=True)


def _sweep_abandoned() -> None:
    """Stop the servers of runs whose process was killed before it could."""
    for state in Path("/tmp").glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError):
            pid = int((state / "owner.pid").read_text())
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                _remove(state)


# Database


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPostgres:
    """URLs of this worker's database by role."""

    app_url: str
    owner_url: str
    superuser_url: str
    pid: int


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestPostgres]:
    """This worker's database, cut from the migrated template."""
    from django.conf import settings
    from django.db import connections

    from octavo.devserver import cluster

    state = Path(os.environ[STATE])
    _start_servers(state)
    address = postgres_address(state)
    database = settings.DATABASES["default"]["NAME"]
    names = {"database": sql.Identifier(database), "template": sql.Identifier(TEMPLATE)}
    admin = address.url(SUPERUSER, "postgres")
    with psycopg.connect(admin, autocommit=True) as connection, _locked(state):
        connection.execute(
            sql.SQL("CREATE DATABASE {database} TEMPLATE {template} OWNER octavo_owner").format(
                **names
            )
        )
    for wrapper in connections.all(initialized_only=True):
        wrapper.close_pool()  # whoever asked before there was a database made it wait to ask again
    yield TestPostgres(
        app_url=address.url(APP, database),
        owner_url=address.url(OWNER, database),
        superuser_url=address.url(SUPERUSER, database),
        pid=cluster.running_pid(address.cluster),
    )
    for wrapper in connections.all(initialized_only=True):
        wrapper.close()
        wrapper.close_pool()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {database} WITH (FORCE)").format(**names))


@pytest.fixture(scope="session")
def redis_url(postgres: TestPostgres) -> str:
    """This worker's Redis database; `postgres` has started both servers."""
    from django.conf import settings

    return str(settings.REDIS_URL)


class Emptying:
    """Empties the database, on a connection that is opened again when the server was restarted."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.connection = self._connect()
        names = sql.SQL(", ").join(map(sql.Identifier, _tables(self.connection)))
        truncate = sql.SQL("TRUNCATE {} CASCADE").format(names)
        self._statements = [truncate, *_restoring(self.connection)]

    def _connect(self) -> "psycopg.Connection[Any]":
        connection = psycopg.connect(self._url, autocommit=True)
        # Triggers that keep append-only tables from being emptied rest in this session alone.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET lock_timeout = '10s'")
        return connection

    def __call__(self) -> None:
        try:
            self._empty()
        except psycopg.OperationalError:
            self.connection.close()
            self.connection = self._connect()
            self._empty()

    def _empty(self) -> None:
        with self.connection.transaction():
            for statement in self._statements:
                self.connection.execute(statement)


@pytest.fixture(scope="session")
def _empty_database(postgres: TestPostgres) -> Iterator[Emptying]:
    emptying = Emptying(postgres.superuser_url)
    yield emptying
    emptying.connection.close()


def _restoring(connection: "psycopg.Connection[Any]") -> list[sql.Composed]:
    rows = connection.execute(
        "SELECT c.relname, array_agg(a.attname::text) FROM pg_class c JOIN pg_attribute a ON "
        "a.attrelid = "
        "('public.' || quote_ident(c.relname))::regclass AND a.attnum > 0 AND NOT a.attisdropped "
        "AND a.attgenerated = '' WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' "
        "GROUP BY 1",
        [KEPT],
    )
    return [
        sql.SQL(
            "INSERT INTO public.{0} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM {2}.{0}"
        ).format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier(KEPT),
        )
        for table, columns in rows
    ]


@pytest.fixture
def db(postgres: TestPostgres, redis_url: str, _empty_database: Emptying) -> Iterator[TestPostgres]:
    """The worker's database and Redis, both as a fresh migration leaves them; emptied again
    afterwards."""
    yield postgres
    import redis
    from django.contrib.contenttypes.models import ContentType
    from django.db import connections

    connections.close_all()
    _empty_database()
    ContentType.objects.clear_cache()
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()


@pytest.fixture(autouse=True)
def _database_where_needed(request: pytest.FixtureRequest) -> None:
    if request.path.relative_to(TESTS).parts[0] in NEED_DATABASE:
        request.getfixturevalue("db")


@pytest.fixture
def installation(db: TestPostgres) -> Any:
    """What `manage.py bootstrap` leaves: organisation, project, admin and first key
    (`accounts.types.Installation`)."""
    from apps.accounts.services import bootstrap_installation

    return bootstrap_installation(admin_email="admin@example.test")


# Ports and processes


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


class Processes:
    """Starts Octavo's own processes on this worker's database and kills what is left at the end of
    the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[RunningProcess] = []

    def start(
        self, name: str, command: tuple[str, ...], *, url: str = "", **settings: str
    ) -> RunningProcess:
        """Any command, with this worker's settings and `settings` over them; does not wait."""
        process = start_process(
            name=name,
            command=command,
            environment=child_environment(settings),
            log=self._folder / f"{name}-{len(self._started)}.log",
            url=url,
        )
        self._started.append(process)
        return process

    def web(self, *, port: int = 0, timeout: float = 30.0, **settings: str) -> RunningProcess:
        """uvicorn on a free port (`.url`), ready to answer."""
        port = port or ports.free_port()
        url = f"http://127.0.0.1:{port}"
        process = self.start("web", web_command(host="127.0.0.1", port=port), url=url, **settings)
        process.wait_until(lambda: is_ready(f"{url}/healthz"), timeout=timeout)
        return process

    def worker(
        self,
        *,
        queues: str = "runs,control,ingest",
        threads: int = 32,
        timeout: float = 30.0,
        **settings: str,
    ) -> RunningProcess:
        """A Celery worker that has connected and takes messages."""
        number = len(self._started)
        command = worker_command(name=f"test{number}-{os.getpid()}", queues=queues, threads=threads)
        process = self.start("worker", (*command, "--loglevel", "INFO"), **settings)
        process.wait_until(lambda: process.logged(" ready."), timeout=timeout)
        return process

    def model(self, *, port: int = 0, timeout: float = 90.0, **settings: str) -> RunningProcess:
        """The built-in model server on a free port (`.url`), ready to answer."""
        port = port or ports.free_port()
        url = f"http://127.0.0.1:{port}"
        process = self.start("model", model_command(port=port), url=url, **settings)
        process.wait_until(lambda: is_ready(f"{url}/health"), timeout=timeout)
        return process

    def stop_all(self) -> None:
        for process in reversed(self._started):
            process.kill()


@pytest.fixture
def processes(db: TestPostgres, tmp_path: Path) -> Iterator[Processes]:
    """A factory of real processes; their logs lie in `tmp_path`."""
    factory = Processes(tmp_path)
    yield factory
    factory.stop_all()
