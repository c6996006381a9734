"""`.env.example` documents every setting that Octavo reads, and no other."""

import ast
import re

from tests.architecture.source import ROOT, calls, constants, python_files, string_of, tree_of

READERS = {"env.text", "env.integer", "env.boolean", "env.listed"}
ENVIRONMENT = {"os.environ.get", "os.getenv", "environ.get"}
LINE = re.compile(r"^#? ?([A-Z][A-Z0-9_]+)=", re.MULTILINE)


def settings_read(tree: ast.Module) -> set[str]:
    """Names of settings that a module reads, through `env` or straight from the environment."""
    known = constants(tree)
    found: set[str] = set()
    for name, call in calls(tree):
        if name in READERS and call.args:
            found.add(string_of(call.args[0], known) or "a computed name")
        if name in ENVIRONMENT and call.args:
            value = string_of(call.args[0], known) or ""
            found |= {value} if value.startswith("OCTAVO_") else set()
    return found


def documented() -> set[str]:
    return set(LINE.findall((ROOT / ".env.example").read_text()))


def test_every_setting_that_is_read_is_documented() -> None:
    read = {name for path in python_files() for name in settings_read(tree_of(path))}
    assert read - documented() == set()


def test_every_documented_setting_is_read() -> None:
    compose = ROOT / "docker-compose.yml"
    sources = "\n".join(path.read_text() for path in (*python_files(), compose))
    assert {name for name in documented() if not re.search(rf"\b{name}\b", sources)} == set()


def test_every_setting_has_a_line_that_explains_it() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    bare = [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if LINE.match(line) and not (above.startswith("#") or "  #" in line or LINE.match(above))
    ]
    assert bare == []


def test_settings_are_found_in_every_way_of_reading_them() -> None:
    source = (
        'KEY = "OCTAVO_C"\n'
        'env.text("OCTAVO_A", "x")\n'
        'os.environ.get("OCTAVO_B")\n'
        "os.getenv(KEY)\n"
        'os.environ.get("HOME")\n'
    )
    assert settings_read(ast.parse(source)) == {"OCTAVO_A", "OCTAVO_B", "OCTAVO_C"}
