"""Each behaviour of the manifest has the test it names, and each test its behaviour."""

import ast
import json
from pathlib import Path

HERE = Path(__file__).parent
MANIFEST: dict[str, list[str]] = json.loads((HERE / "manifest.json").read_text())


def marked() -> dict[str, str]:
    """Every behaviour that a test carries, with the test."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            ids = [behaviour_of(decorator) for decorator in node.decorator_list]
            found |= {behaviour: f"{path.name}::{node.name}" for behaviour in ids if behaviour}
    return found


def behaviour_of(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "behaviour":
        return str(ast.literal_eval(decorator.args[0]))
    return ""


def test_every_behaviour_has_its_test_and_every_test_its_behaviour() -> None:
    assert marked() == {behaviour: test for behaviour, (_, test) in MANIFEST.items()}


def test_every_behaviour_links_what_says_so() -> None:
    assert [name for name, (link, _) in MANIFEST.items() if not link.startswith("https://")] == []


def test_no_test_is_without_a_behaviour() -> None:
    named = set(marked().values())
    for path in sorted(HERE.glob("test_*.py")):
        if path.name == "test_manifest.py":
            continue
        tests = [n.name for n in ast.parse(path.read_text()).body if hasattr(n, "name")]
        loose = [n for n in tests if n.startswith("test_") and f"{path.name}::{n}" not in named]
        assert loose == []
