"""Each behaviour of the manifest has the test it names, and each marked test its behaviour."""

import ast
import json
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parents[1] / "integration" / "mcp"
MANIFEST: dict[str, list[str]] = json.loads((HERE / "manifest.json").read_text())


def marked() -> dict[str, str]:
    """Every behaviour that a test shows, with the test."""
    found = {}
    for path in sorted(TESTS.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            for name in behaviours(node):
                assert name not in found, f"{name} is shown twice"
                found[name] = f"{path.name}::{getattr(node, 'name', '')}"
    return found


def behaviours(node: ast.stmt) -> list[str]:
    if not isinstance(node, ast.FunctionDef):
        return []
    return [
        str(ast.literal_eval(mark.args[0]))
        for mark in node.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "behaviour"
    ]


def test_every_behaviour_has_its_test_and_every_marked_test_its_behaviour() -> None:
    assert marked() == {behaviour: test for behaviour, (_, test) in MANIFEST.items()}


def test_every_behaviour_links_what_says_so() -> None:
    links = [link for link, _ in MANIFEST.values()]
    assert all(link.startswith("https://modelcontextprotocol.io/") for link in links)
