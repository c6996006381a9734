"""The embedded PostgreSQL: adopted, closed to others, and whole after a kill."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from octavo.devserver import cluster
from octavo.devserver.errors import StartError
from octavo.devserver.postgres import PostgresServer, ensure_postgres, postgres_address


@pytest.fixture
def server(data_dir: Path) -> Iterator[PostgresServer]:
    started = ensure_postgres(data_dir, durable=False)
    yield started
    cluster.stop(started.address.cluster)


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question).fetchone()
        return row[0] if row else None


def test_a_server_that_runs_is_adopted(server: PostgresServer, data_dir: Path) -> None:
    again = ensure_postgres(data_dir, durable=False)
    assert (again.adopted, again.pid, again.app_url) == (True, server.pid, server.app_url)


def test_neither_role_has_any_special_right(server: PostgresServer) -> None:
    rights = "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication FROM pg_roles "
    for url in (server.owner_url, server.app_url):
        assert ask(url, rights + "WHERE rolname = current_user") is False


def test_the_running_role_cannot_make_tables_and_the_owner_can(server: PostgresServer) -> None:
    with (
        psycopg.connect(server.app_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE TABLE mine (id int)")
    with psycopg.connect(server.owner_url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("CREATE TABLE ours (v vector(3))")


def test_a_wrong_password_is_refused_although_the_socket_is_ours(server: PostgresServer) -> None:
    url = server.superuser_url.replace(server.address.passwords["postgres"], "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_it_listens_on_no_network_and_its_socket_folder_is_closed(server: PostgresServer) -> None:
    assert ask(server.superuser_url, "SHOW listen_addresses") == ""
    assert server.address.socket.stat().st_mode & 0o777 == 0o700


def test_after_a_kill_it_starts_again_with_what_was_committed(
    server: PostgresServer, data_dir: Path
) -> None:
    with psycopg.connect(server.owner_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(server.pid, signal.SIGKILL)
    os.waitpid(server.pid, 0)
    again = ensure_postgres(data_dir, durable=False)
    assert not again.adopted
    assert ask(again.owner_url, "SELECT answer FROM kept") == 42


def test_a_data_directory_with_a_long_path_gets_a_short_socket(data_dir: Path) -> None:
    long = data_dir / ("d" * 60) / ("e" * 60)
    long.mkdir(parents=True)
    address = postgres_address(long)
    try:
        assert len(str(address.socket)) < 60
        assert postgres_address(long) == address
    finally:
        address.socket.rmdir()


def test_a_cluster_of_another_major_version_is_refused_with_the_way_out(
    server: PostgresServer, data_dir: Path
) -> None:
    server.stop()
    (server.address.cluster / "PG_VERSION").write_text("15\n")
    with pytest.raises(StartError, match=r"made by PostgreSQL 15; this installation has 18.*"):
        ensure_postgres(data_dir, durable=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_cluster_of_another_user_is_refused(server: PostgresServer, data_dir: Path) -> None:
    server.stop()
    os.chown(server.address.cluster, 12345, 12345)
    with pytest.raises(StartError, match="belongs to user id 12345"):
        ensure_postgres(data_dir, durable=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as we do unless we are root")
def test_under_root_no_folder_that_exists_is_opened_up(server: PostgresServer) -> None:
    assert server.address.home.stat().st_mode & 0o777 == 0o711
    assert server.address.cluster.stat().st_uid != 0
