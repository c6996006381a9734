"""`manage.py doctor` on an installation that works, and on ones that are really broken."""

import base64
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from django.core.management import call_command
from django.test import override_settings
from psycopg import sql

from octavo.devserver import ports
from octavo.devserver.processes import child_environment
from tests.conftest import TESTS
from tests.integration.inference.upstream import Upstream, running

KEY = "sk-never-shown-0123456789"


class Report:
    """What one run of the command found, by name."""

    def __init__(self, *, status: int, said: bytes) -> None:
        self.status, self.said = status, said.decode()
        self.found = {finding["name"]: finding for finding in orjson.loads(said)["findings"]}
        self.is_healthy = orjson.loads(said)["healthy"]

    def state(self, name: str) -> str:
        return str(self.found[name]["state"])

    def text(self, name: str) -> str:
        return f"{self.found[name]['detail']} → {self.found[name]['next_step']}"


def run(*options: str, **settings: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "manage.py", "doctor", *options],
        cwd=TESTS.parent,
        env=child_environment({"OCTAVO_EGRESS_ALLOW": "", "OCTAVO_VLLM_PYTHON": "", **settings}),
        capture_output=True,
        check=False,
        timeout=120,
    )


def report(**settings: str) -> Report:
    done = run("--json", **settings)
    assert done.stdout, done.stderr.decode()
    return Report(status=done.returncode, said=done.stdout)


def report_here() -> Report:
    """The same in this process, with its settings."""
    said, status = io.StringIO(), 0
    try:
        call_command("doctor", "--json", stdout=said)
    except SystemExit as ended:
        status = int(ended.code or 0)
    return Report(status=status, said=said.getvalue().encode())


@pytest.fixture
def lab(installation: Any) -> Iterator[Upstream]:
    """Both routes lead to a server that answers, whose provider has a key."""
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, ProviderKind

    scope = installation.scope
    with running() as server:
        services.create_provider(
            scope=scope, name="lab", kind=ProviderKind.VLLM, base_url=server.url, api_key=KEY
        )
        for name, kind in (("default", ModelKind.CHAT), ("embedding", ModelKind.EMBEDDING)):
            services.set_route(scope=scope, name=name, kind=kind, targets=[("lab", name)])
        yield server


def test_all_is_well_where_everything_answers(lab: Upstream, processes: Any) -> None:
    processes.worker()
    found = report()
    assert found.is_healthy, found.said
    assert (found.status, KEY in found.said) == (0, False)
    assert "1 alive" in found.text("Workers")
    assert "pgvector" in found.text("PostgreSQL")
    assert found.text("Roles").startswith("octavo_app runs, octavo_owner migrates")
    assert "vllm answers" in found.text("Provider lab")
    assert "lab/default in" in found.text("Route default")
    assert {finding["state"] for finding in found.found.values()} == {"ok"}


def test_people_get_aligned_lines_and_no_secret(lab: Upstream, processes: Any) -> None:
    processes.worker()
    shown = run()
    lines = shown.stdout.decode().splitlines()
    assert shown.returncode == 0, lines
    assert all(line.startswith("✓ ") for line in lines)
    assert len({line.index(line.split(maxsplit=1)[1][:1], 2) for line in lines}) == 1
    assert KEY not in shown.stdout.decode() + shown.stderr.decode()


def test_without_a_worker_nothing_would_run(lab: Upstream) -> None:
    found = report_here()
    assert (found.status, found.is_healthy) == (1, False)
    assert found.state("Workers") == "broken"
    assert "0 alive" in found.text("Workers")
    assert "make up" in found.text("Workers")


def test_a_redis_that_is_down_is_named_without_its_password(lab: Upstream) -> None:
    port = ports.free_port()
    found = report(REDIS_URL=f"redis://:hush-hush@127.0.0.1:{port}/0")
    assert found.status == 1
    assert found.state("Redis") == found.state("Workers") == "broken"
    assert f"127.0.0.1:{port}" in found.text("Redis")
    assert found.state("PostgreSQL") == found.state("Route default") == "ok"
    assert "hush-hush" not in found.said


def test_a_database_that_is_down_is_said_once_and_quickly(lab: Upstream) -> None:
    url = f"postgresql://octavo_app:hush-hush@127.0.0.1:{ports.free_port()}/octavo"
    found = report(DATABASE_URL=url, OCTAVO_DATABASE_OWNER_URL=url)
    assert found.status == 1
    assert "does not answer" in found.text("PostgreSQL")
    assert "without PostgreSQL" in found.text("Models")
    assert found.state("Redis") == "ok"
    assert "hush-hush" not in found.said


def test_a_wrong_encryption_key_is_found_by_opening_what_is_sealed(lab: Upstream) -> None:
    other = base64.b64encode(bytes(range(32))).decode()
    found = report(OCTAVO_ENCRYPTION_KEYS=f"k2:{other}")
    assert found.status == 1
    assert "provider.api_key (1)" in found.text("Credentials")
    assert other not in found.said


def test_an_encryption_key_that_is_none_is_said_to_be_so(installation: Any) -> None:
    found = report(OCTAVO_ENCRYPTION_KEYS="k1:short")
    assert found.status == 1
    assert "OCTAVO_ENCRYPTION_KEYS" in found.text("Keys")


def test_a_database_that_is_not_migrated_says_what_to_run(postgres: Any) -> None:
    with psycopg.connect(postgres.superuser_url, autocommit=True) as connection:
        name = f"{connection.info.dbname}_empty"
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER octavo_owner").format(sql.Identifier(name))
        )
        try:
            urls = [
                url.replace(f"/{connection.info.dbname}?", f"/{name}?")
                for url in (postgres.app_url, postgres.owner_url)
            ]
            found = report(DATABASE_URL=urls[0], OCTAVO_DATABASE_OWNER_URL=urls[1])
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name)))
    assert found.status == 1
    assert "pgvector missing" in found.text("PostgreSQL")
    assert "CREATE EXTENSION vector" in found.text("PostgreSQL")
    assert "python manage.py migrate" in found.text("Migrations")


def test_a_superuser_that_runs_octavo_is_warned_of(lab: Upstream, postgres: Any) -> None:
    found = report(DATABASE_URL=postgres.superuser_url)
    assert found.state("Roles") == "warning"
    assert "superuser" in found.text("Roles")


def test_a_route_whose_only_target_is_gone_is_broken(installation: Any) -> None:
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, ProviderKind

    scope, nowhere = installation.scope, f"http://127.0.0.1:{ports.free_port()}"
    services.create_provider(scope=scope, name="gone", kind=ProviderKind.VLLM, base_url=nowhere)
    services.set_route(
        scope=scope, name="default", kind=ModelKind.CHAT, targets=[("gone", "model")]
    )
    found = report_here()
    assert found.status == 1
    assert "does not answer" in found.text("Provider gone")
    assert "gone/model" in found.text("Route default")


def test_vllm_is_looked_for_where_the_setting_says(installation: Any, tmp_path: Path) -> None:
    with override_settings(VLLM_PYTHON=str(tmp_path / "python")):
        assert "cannot be run" in report_here().text("vLLM")
    with override_settings(VLLM_PYTHON=sys.executable):
        assert "has no vLLM" in report_here().text("vLLM")


def test_an_egress_rule_that_opens_everything_is_warned_of(installation: Any) -> None:
    for rule, state in (("10.0.0.5:9000", "ok"), ("0.0.0.0/0", "warning")):
        with override_settings(EGRESS_ALLOW=(rule,)):
            assert report_here().state("Egress") == state
