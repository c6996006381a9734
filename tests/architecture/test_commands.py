"""Each block of the documentation is proven some way: run by a test, or compared with its files."""

import re
import shlex

import pytest
import yaml
from django.core.management import get_commands

from tests.architecture.source import ROOT
from tests.integration.handbook.blocks import Block, Kind, blocks, of_kind

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = set(COMPOSE["services"])
PROFILES = {
    name for service in COMPOSE["services"].values() for name in service.get("profiles", ())
}
VERBS = {"up", "down", "stop", "start", "exec", "ps", "logs"}
IN_THE_DATABASE = {"pg_dump", "pg_restore", "createdb", "dropdb", "psql"}


def faults_of_compose(line: str) -> list[str]:
    """What `docker compose` would not find of a documented line."""
    words = shlex.split(line.partition("<")[0].partition(">")[0])[2:]
    faults = []
    while words and words[0].startswith("-"):
        option, value, *words = words
        if option != "--profile" or value not in PROFILES:
            faults.append(f"{option} {value}")
    verb, *rest = words or [""]
    if verb not in VERBS:
        faults.append(verb)
    named = [word for word in rest if not word.startswith("-")]
    named = [word for word in named if "=" not in word]
    if verb != "exec":
        return faults + [word for word in named if word not in SERVICES]
    service, program, *arguments = named
    is_known = program in IN_THE_DATABASE or (
        arguments[:1] == ["manage.py"] and arguments[1] in get_commands()
    )
    return faults if service in SERVICES and is_known else [*faults, line]


def faults_of(block: Block) -> list[str]:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = (ROOT / ".env.example").read_text()
    faults = []
    for line in filter(None, block.text.splitlines()):
        name = line.partition("=")[0]
        if block.kind is Kind.SETTINGS:
            faults += [] if re.search(rf"^#? ?{name}=", known, re.MULTILINE) else [line]
        elif line.startswith("docker compose "):
            faults += faults_of_compose(line)
        elif line.startswith("make "):
            faults += [] if line.split()[1] in targets else [line]
        elif not line.startswith("git clone "):
            faults.append(line)
    return faults


def test_every_block_is_proven_some_way() -> None:
    assert [(block.page, block.text) for block in blocks() if block.kind is None] == []


@pytest.mark.parametrize(
    "block", of_kind(Kind.MACHINE, Kind.SETTINGS), ids=lambda block: block.page
)
def test_what_a_machine_is_told_is_there(block: Block) -> None:
    assert faults_of(block) == []


@pytest.mark.parametrize(
    "line",
    [
        "docker compose --profile tpu up -d",
        "docker compose restart-all",
        "docker compose stop wbe",
        "docker compose exec web python manage.py nothing",
    ],
)
def test_a_command_that_would_fail_is_noticed(line: str) -> None:
    assert faults_of_compose(line)
