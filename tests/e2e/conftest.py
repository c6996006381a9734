"""Chromium, driven by Playwright; skipped only where there is none and nobody promised one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

OUT = Path(__file__).resolve().parents[2] / "out" / "screens"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--font-render-hinting=none",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-pictures",
        action="store_true",
        help="Write the README's pictures of the run page anew, from the browser tests.",
    )


@pytest.fixture(scope="session")
def chromium_path() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def stage(chromium_path: str, installation: Any, processes: Any, free_port: int) -> Iterator[Any]:
    from tests.e2e.stage import set_up  # imports models: Django is configured by now

    with set_up(installation, processes, free_port) as running:
        yield running


@pytest.fixture
def browser(chromium_path: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium_path, args=_ARGUMENTS, headless=True
        )
        yield launched
        launched.close()
