"""The documentation is input: what it names exists, and what people meet is named in it."""

import re
from enum import StrEnum
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from apps.api.ops import PATHS
from apps.governance.types import Action, ApprovalStatus, Outcome
from apps.orchestration.types.runs import EventType, RunStatus
from apps.orchestration.types.triggers import FiringOutcome, Missed, Overlap, TriggerEvent
from apps.tools.types import Effect, Risk
from tests.architecture.source import ROOT, name_of

PAGES = sorted([ROOT / "README.md", ROOT / "apps" / "README.md", *(ROOT / "docs").rglob("*.md")])
TEXT = "\n".join(path.read_text() for path in PAGES)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")
COMMAND = re.compile(r"python manage\.py (\w+)")
TARGET = re.compile(r"`?make (\w+)`")
SETTING = re.compile(r"\b(OCTAVO_[A-Z_]+|DATABASE_URL|REDIS_URL|[A-Z]+_API_KEY)\b")
ADDRESS = re.compile(r"(?<![\w.])/(?:api/v1/[^\s`?\"']*|healthz|readyz|metrics|login)(?=[\s`?\"'])")

PLACEHOLDERS = {"{id}": "run_01h455vb4pex5vsknk084sn02q", "*": "run_01h455vb4pex5vsknk084sn02q"}
SHELL_ONLY = {"OCTAVO_KEY"}  # the reader's own variable in the examples

NAMED = [
    *(Action, Outcome, EventType, RunStatus, Risk, Effect),
    *(Overlap, Missed, TriggerEvent, FiringOutcome),
]


def undocumented(names: type[StrEnum], text: str) -> list[str]:
    return [member.value for member in names if f"`{member.value}`" not in text]


def broken_links(page: Path, text: str) -> list[str]:
    return [target for target, _ in LINK.findall(text) if not (page.parent / target).exists()]


def unknown_addresses(text: str) -> list[str]:
    found = []
    for address in sorted(set(ADDRESS.findall(text)) - PATHS - {"/api/v1/"}):
        path = address
        for placeholder, value in PLACEHOLDERS.items():
            path = path.replace(placeholder, value)
        path = re.sub(r"\{(\w+)\}", r"\1", path)
        try:
            is_known = resolve(path).func.__name__ != "unknown"  # what answers 404 for the API
        except Resolver404:
            is_known = False
        found += [] if is_known else [address]
    return found


@pytest.mark.parametrize("names", NAMED, ids=lambda names: names.__name__)
def test_every_name_that_people_meet_is_documented(names: type[StrEnum]) -> None:
    assert undocumented(names, TEXT) == []


def test_a_missing_name_is_noticed() -> None:
    assert undocumented(ApprovalStatus, "`pending` `approved` `refused` `expired`") == ["cancelled"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


def test_a_broken_link_is_noticed() -> None:
    assert broken_links(ROOT / "README.md", "[x](docs/nowhere.md) [y](LICENSE)") == [
        "docs/nowhere.md"
    ]


def test_every_command_in_the_documentation_exists() -> None:
    assert set(COMMAND.findall(TEXT)) - set(get_commands()) == set()


def test_every_make_target_in_the_documentation_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(TEXT)) - targets == set()


def test_every_setting_in_the_documentation_exists() -> None:
    documented = (ROOT / ".env.example").read_text()
    named = set(SETTING.findall(TEXT)) - SHELL_ONLY
    assert {name for name in named if not re.search(rf"\b{name}\b", documented)} == set()


def test_one_sentence_answers_how_to_add_files() -> None:
    sentence = "To add your own files to a space, run `python manage.py context add <space>"
    assert sentence in TEXT


def test_every_address_in_the_documentation_exists() -> None:
    assert unknown_addresses(TEXT) == []


def test_an_address_that_does_not_exist_is_noticed() -> None:
    assert unknown_addresses("send `GET /api/v1/nothing/{id}` now") == ["/api/v1/nothing/{id}"]
