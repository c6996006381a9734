"""The product's source as the architecture tests see it: files and syntax trees, never imported."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("platform/octavo", "apps", "workers")


def python_files(*folders: str) -> list[Path]:
    """Every Python file of the product (or of `folders`), without migrations."""
    found = (path for folder in folders or PRODUCT for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "migrations" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def dotted(node: ast.expr) -> str:
    """`jobs.enqueue` for the expression of that name, "" for anything more complicated."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Each call with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func)):
            yield name, node


def imports(tree: ast.AST) -> Iterator[str]:
    """Each imported name in full: `django.dispatch.receiver`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def constants(tree: ast.Module) -> dict[str, str]:
    """Names that the module binds to a string at its top level."""
    return {
        dotted(target): node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in node.targets
    }


def string_of(node: ast.expr, known: dict[str, str]) -> str | None:
    """The string that `node` stands for: a literal, or a top-level constant of its module."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return known.get(dotted(node))
