"""What every page is checked for in the browser: no error, no shift, nothing off-screen, axe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
WIDTHS = {"wide": (1440, 820), "narrow": (375, 812)}
_WATCH = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
_SERIOUS = {"serious", "critical"}


@contextmanager
def looking(browser: Any, *, theme: str, size: str, state: Any = None) -> Iterator[Any]:
    """A page whose errors fail the test when it is closed."""
    width, height = WIDTHS[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, storage_state=state
    )
    context.add_init_script(_WATCH)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if _is_error(said) else None)
    yield page
    context.close()
    assert errors == []


def _is_error(said: Any) -> bool:
    """Chromium also reports every refused form as an error: those are tested for what they say."""
    return said.type == "error" and "status of 422" not in said.text


def check(page: Any, name: str) -> None:
    """Raises for a page that is wider than the window, moved while loading, or fails axe."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
    assert page.evaluate("window.shifts") == 0, name
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    told = [
        f"{name}: {rule['id']} {rule['help']} {[node['html'][:160] for node in rule['nodes'][:3]]}"
        for rule in found["violations"]
        if rule["impact"] in _SERIOUS
    ]
    assert told == []
