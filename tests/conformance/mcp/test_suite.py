"""The official conformance suite against Octavo's server, at both of its protocol revisions."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.mcp.conftest import Run

SUITE = "@modelcontextprotocol/conformance/dist/index.js"
DIVERGENCES: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "divergences.json").read_text()
)
_LINE = re.compile(r"^([✓✗]) ([\w-]+): (\d+) passed, (\d+) failed", re.MULTILINE)
_NOT_SCORED = re.compile(r"^  [✓✗] ([\w-]+) \(", re.MULTILINE)


@pytest.mark.parametrize("revision", sorted(DIVERGENCES))
def test_every_scored_check_passes_or_is_a_known_divergence(
    run: Run, serve: Callable[[str], str], revision: str, tmp_path: Path
) -> None:
    url = serve("tests.conformance.mcp.served:application")
    done = run(SUITE, "server", "--url", url, "--requirements", revision, "-o", str(tmp_path))
    results = {name: mark == "✓" for mark, name, _, _ in _LINE.findall(done.stdout)}
    assert len(results) > 30, done.stdout + done.stderr
    scored = results.keys() - set(_NOT_SCORED.findall(done.stdout))
    failing = {name for name in scored if not results[name]}
    assert failing == set(DIVERGENCES[revision]), done.stdout


def test_every_divergence_has_its_reason() -> None:
    assert all(reason for found in DIVERGENCES.values() for reason in found.values())
