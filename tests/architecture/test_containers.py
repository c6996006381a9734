"""The compose file and the Dockerfile, read without an engine: secrets, tags, users, settings."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from octavo import container
from octavo.kernel import jobs
from tests.architecture.source import ROOT
from tests.architecture.test_settings_documented import documented

COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PLAN: dict[str, Any] = yaml.safe_load(COMPOSE)
SERVICES: dict[str, Any] = PLAN["services"]
IMAGE = "octavo:local"
OURS = {name for name, service in SERVICES.items() if service["image"] == IMAGE}
VARIABLE = re.compile(r"\$\{([A-Z_]+)([^}]*)\}")
SECRET = re.compile(r"PASSWORD|SECRET|_KEYS?$|TOKEN")
PINNED = re.compile(r"[\w./-]+:[\w.-]*\d[\w.-]*")


def environment(service: dict[str, Any]) -> dict[str, str]:
    return dict(service.get("environment") or {})


def secrets_with_a_default(compose: str) -> list[str]:
    """Variables that are secret and do not stop the start when they are missing."""
    return [
        name
        for name, rest in VARIABLE.findall(compose)
        if SECRET.search(name) and not rest.startswith(":?")
    ]


def plain_secrets(node: Any, name: str = "") -> Iterator[str]:
    """Names that hold a secret which is written out."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from plain_secrets(value, str(key))
    elif isinstance(node, str) and SECRET.search(name) and node and "${" not in node:
        yield name


def test_five_containers_and_a_sixth_for_a_gpu() -> None:
    always = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert always == {"db", "redis", "model", "web", "worker"}
    assert {name: SERVICES[name]["profiles"] for name in SERVICES.keys() - always} == {
        "vllm": ["gpu"]
    }


def test_every_setting_in_the_compose_file_is_documented() -> None:
    used = {name for name, _ in VARIABLE.findall(COMPOSE)}
    used |= {name for service in SERVICES.values() for name in environment(service)}
    of_images = {"POSTGRES_DB", "PGPASSWORD", "REDISCLI_AUTH"}
    assert used - documented() - of_images == set()


def test_no_secret_has_a_default_and_a_missing_one_says_how_to_make_it() -> None:
    assert secrets_with_a_default(COMPOSE) == []
    assert list(plain_secrets(SERVICES)) == []
    refusals = {rest for _, rest in VARIABLE.findall(COMPOSE) if rest.startswith(":?")}
    assert refusals == {":?run `make env` once, which makes it"}


def test_make_env_makes_every_secret_that_is_required() -> None:
    made = set(re.findall(r"^add (\w+)", (ROOT / "docker" / "make-env").read_text(), re.MULTILINE))
    required = {name for name, rest in VARIABLE.findall(COMPOSE) if rest.startswith(":?")}
    assert required <= made <= documented()


def test_our_image_is_built_once_and_never_pulled() -> None:
    assert {name for name, service in SERVICES.items() if "build" in service} == {"web"}
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}


def test_images_are_pinned_by_tag() -> None:
    pulled = [SERVICES[name]["image"] for name in SERVICES.keys() - OURS]
    pulled += re.findall(r"^FROM (\S+:\S+)", DOCKERFILE, re.MULTILINE)
    assert len(pulled) >= 4
    assert [image for image in pulled if not PINNED.fullmatch(image)] == []


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_has_a_health_check_a_grace_period_and_bounded_logs(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["stop_grace_period"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["restart"] == "unless-stopped"
    assert "mem_limit" in service or name == "vllm"


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_can_write_nowhere_and_gain_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.search(r"^USER octavo$", DOCKERFILE, re.MULTILINE)


def test_only_the_web_is_published_and_on_loopback_unless_somebody_says_otherwise() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web": ["${OCTAVO_HOST:-127.0.0.1}:${OCTAVO_PORT:-8000}:8000"]}


def test_who_serves_people_never_holds_the_superusers_password() -> None:
    for name in OURS:
        given = environment(SERVICES[name])
        assert "env_file" not in SERVICES[name] or given["POSTGRES_PASSWORD"] == ""
    assert "OCTAVO_DATABASE_OWNER_URL" not in environment(SERVICES["worker"])
    assert environment(SERVICES["worker"])["OCTAVO_OWNER_PASSWORD"] == ""


def test_commands_and_health_checks_are_those_of_the_container_module() -> None:
    for name in OURS:
        (command,) = SERVICES[name]["command"]
        assert command in container.RUN
        assert SERVICES[name]["healthcheck"]["test"][-2:] == ["health", command]
        assert command in container.HEALTH
    assert container.PING_CHANNEL == jobs.PING_CHANNEL


def test_nothing_but_what_the_image_needs_is_sent_to_a_build() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert not allowed & {".env", ".data", ".git", "tests"}
    assert all((ROOT / name).exists() for name in allowed)


def test_the_volume_of_the_database_outlives_its_container() -> None:
    assert "db:/var/lib/postgresql" in SERVICES["db"]["volumes"]
    assert "db" in PLAN["volumes"]


@pytest.mark.parametrize("text", ["${POSTGRES_PASSWORD:-postgres}", "${OCTAVO_SECRET_KEY}"])
def test_a_secret_that_may_be_missing_is_noticed(text: str) -> None:
    assert secrets_with_a_default(text)


def test_a_secret_that_is_written_out_is_noticed() -> None:
    assert list(plain_secrets({"db": {"environment": {"POSTGRES_PASSWORD": "x"}}}))
