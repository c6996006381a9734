"""A newcomer finds every line in its room: sizes, names, docstrings, and what is left out."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, calls, imports, name_of, python_files, tree_of

LINES_OF_A_FILE = 500
LONGER_WITH_REASON: dict[str, str] = {}
LINES_OF_A_FUNCTION = 40
NESTING = 3

BANNED_WORDS = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}
BANNED_SUFFIXES = ("Utils", "Helper", "Helpers", "Manager", "Misc")
BANNED_IMPORTS = {
    "django.contrib.auth.signals": "Django signals hide who calls whom: call the service",
    "django.contrib.contenttypes.fields": "the database cannot check generic foreign keys",
    "django.core.signals": "Django signals hide who calls whom: call the service",
    "django.db.models.signals": "Django signals hide who calls whom: call the service",
    "django.dispatch": "Django signals hide who calls whom: call the service",
}
BANNED_CALLS = {"get_model": "models of other apps are private: call their selectors"}
BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.Try, ast.With, ast.AsyncWith, ast.Match)

FILES = python_files()


def banned_names(path: Path) -> list[str]:
    """The words of the file's own name and of its classes that say nothing."""
    words = [part for part in path.with_suffix("").parts[-2:] if part != "management"]
    found = [word for word in words if BANNED_WORDS & set(word.split("_"))]
    classes = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef))
    return found + [node.name for node in classes if node.name.endswith(BANNED_SUFFIXES)]


def banned_constructs(tree: ast.Module) -> list[str]:
    found = [
        f"{name}: {reason}"
        for name in imports(tree)
        for banned, reason in BANNED_IMPORTS.items()
        if name == banned or name.startswith(f"{banned}.")
    ]
    for name, _ in calls(tree):
        last = name.rpartition(".")[2]
        found += [f"{last}(): {BANNED_CALLS[last]}"] if last in BANNED_CALLS else []
    return found


def methods_named_save(tree: ast.Module) -> list[str]:
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return [
        f"{owner.name}.save"
        for owner in classes
        for member in owner.body
        if isinstance(member, ast.FunctionDef) and member.name == "save"
    ]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def depth(node: ast.AST) -> int:
    """How many blocks lie within each other below `node`; `elif` is no deeper than its `if`."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        is_elif = isinstance(node, ast.If) and [child] == node.orelse and isinstance(child, ast.If)
        deepest = max(deepest, depth(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def long_functions(tree: ast.Module) -> list[str]:
    """Functions whose body has more lines than the house allows, the docstring not counted."""
    found = []
    for function in functions(tree):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        found += [f"{function.name} has {lines} lines"] if lines > LINES_OF_A_FUNCTION else []
    return found


def nested_functions(tree: ast.Module) -> list[str]:
    return [
        f"{function.name} nests {depth(function)} blocks"
        for function in functions(tree)
        if depth(function) > NESTING
    ]


def in_files(check: object) -> dict[str, list[str]]:
    assert callable(check)
    found = {name_of(path): check(tree_of(path)) for path in FILES}
    return {name: problems for name, problems in found.items() if problems}


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    too_long = {
        name_of(path): lines
        for path in (*FILES, *python_files("tests"))
        if (lines := len(path.read_text().splitlines())) > LINES_OF_A_FILE
        and name_of(path) not in LONGER_WITH_REASON
    }
    assert too_long == {}


def test_every_exception_to_the_size_of_files_is_still_needed() -> None:
    lines = {name: len((ROOT / name).read_text().splitlines()) for name in LONGER_WITH_REASON}
    assert [name for name, count in lines.items() if count <= LINES_OF_A_FILE] == []
    assert all(LONGER_WITH_REASON.values())


def test_every_module_says_what_it_protects() -> None:
    silent = [
        name_of(path)
        for path in (*FILES, *python_files("tests"))
        if path.read_text().strip() and not ast.get_docstring(tree_of(path))
    ]
    assert silent == []


def test_names_say_something() -> None:
    found = {name_of(path): names for path in FILES if (names := banned_names(path))}
    assert found == {}


def test_no_signals_generic_keys_or_models_of_other_apps() -> None:
    assert in_files(banned_constructs) == {}


def test_models_have_no_logic_in_save() -> None:
    found = {name_of(p): methods_named_save(tree_of(p)) for p in FILES if p.stem == "models"}
    assert [name for names in found.values() for name in names] == []


def test_functions_are_short() -> None:
    assert in_files(long_functions) == {}


def test_functions_are_flat() -> None:
    assert in_files(nested_functions) == {}


@pytest.mark.parametrize(
    "source",
    [
        "from django.db.models.signals import post_save",
        "from django.dispatch import receiver",
        "from django.contrib.contenttypes.fields import GenericForeignKey",
        "apps.get_model('context', 'Space')",
    ],
)
def test_banned_constructs_are_noticed(source: str) -> None:
    assert banned_constructs(ast.parse(source))


def test_banned_names_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "text_utils.py"
    path.write_text("class RunManager: ...")
    assert banned_names(path) == ["text_utils", "RunManager"]


def test_logic_in_save_is_noticed() -> None:
    assert methods_named_save(ast.parse("class Run:\n def save(self): ...")) == ["Run.save"]


def test_long_and_nested_functions_are_noticed() -> None:
    long = 'def f():\n "says what"\n' + " x = 1\n" * (LINES_OF_A_FUNCTION + 1)
    assert long_functions(ast.parse(long)) == ["f has 41 lines"]
    nested = "def f():\n for a in b:\n  if a:\n   while a:\n    with a:\n     pass\n"
    assert nested_functions(ast.parse(nested)) == ["f nests 4 blocks"]
    flat = "def f():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass\n elif d:\n  pass\n"
    assert nested_functions(ast.parse(flat)) == []
