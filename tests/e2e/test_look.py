"""Every page in both themes, wide and at 375 px: pictures for people, checks for the rest."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import OUT
from tests.e2e.looking import find_faults, looking

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "images"


def test_every_page_looks_right(stage: Any, browser: Any, request: pytest.FixtureRequest) -> None:
    from tests.e2e.stage import aside
    from tests.e2e.tour import prepare_tour

    tour = aside(lambda: prepare_tour(stage.scope))
    OUT.mkdir(parents=True, exist_ok=True)
    with looking(browser, theme="light", size="wide") as page:
        page.goto(stage.url + stage.login_path())
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{stage.url}/")
        state = page.context.storage_state()
    faults: list[str] = []
    for theme in ("light", "dark"):
        for size in ("wide", "narrow"):
            with looking(browser, theme=theme, size=size, state=state) as page:
                page.goto(stage.url)  # the fonts are at hand from here on
                for name, path in tour.items():
                    faults += _look(page, stage.url + path, f"{name}_{theme}_{size}")
    assert faults == [], "\n".join(faults)
    if request.config.getoption("--update-pictures", default=False):
        PICTURES.mkdir(parents=True, exist_ok=True)
        for theme in ("light", "dark"):
            taken = OUT / f"run_waiting_{theme}_wide.png"
            (PICTURES / f"run_{theme}.png").write_bytes(taken.read_bytes())


def _look(page: Any, url: str, name: str) -> list[str]:
    assert page.goto(url).status == 200
    if name.startswith("run_waiting"):
        page.locator("#live[data-state=live]").wait_for(state="attached")
    faults = find_faults(page, name)
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=OUT / f"{name}.png", full_page=name.endswith("narrow"))
    return faults
