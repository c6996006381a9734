"""What every page is checked for in the browser: no error, no shift, nothing off-screen, axe."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
WIDTHS = {"wide": (1440, 820), "narrow": (375, 812)}
_WATCH = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    const moved = entry.sources.map((source) => source.node?.outerHTML ?? source.node?.textContent);
    window.shifts.push(`${entry.value.toFixed(5)} ${moved.map((text) => text?.slice(0, 100))}`);
  }
}).observe({ type: "layout-shift", buffered: true });
"""
_SERIOUS = {"serious", "critical"}


@contextmanager
def looking(
    browser: Any, *, theme: str, size: str, state: Any = None, forgiven: Sequence[str] = ()
) -> Iterator[Any]:
    """A page whose errors fail the test when it is closed, but for those with `forgiven` words."""
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
    unforeseen = [error for error in errors if not any(words in error for words in forgiven)]
    assert unforeseen == [], "\n".join(unforeseen)


def _is_error(said: Any) -> bool:
    """Chromium also reports every refused form as an error: those are tested for what they say."""
    return said.type == "error" and "status of 422" not in said.text


def find_faults(page: Any, name: str) -> list[str]:
    """Why a page is not fit to be seen: wider than the window, moved while loading, fails axe."""
    found = [f"{name}: layout shift {shift}" for shift in page.evaluate("window.shifts")]
    if not page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"):
        found.append(f"{name}: wider than the window")
    page.evaluate(AXE.read_text())
    checked = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    found += [
        f"{name}: {rule['id']} {rule['help']} {[node['html'][:160] for node in rule['nodes'][:3]]}"
        for rule in checked["violations"]
        if rule["impact"] in _SERIOUS
    ]
    return found
