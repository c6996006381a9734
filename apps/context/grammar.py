"""Where source code may be cut: before a definition and what is said about it, by its grammar.

A language whose grammar is not installed, or a file that is cut off, is left to the line rules.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath
from typing import Any

_GRAMMARS = {
    ".py": ("tree_sitter_python", "language"),
    ".js": ("tree_sitter_javascript", "language"),
    ".jsx": ("tree_sitter_javascript", "language"),
    ".ts": ("tree_sitter_typescript", "language_typescript"),
    ".tsx": ("tree_sitter_typescript", "language_tsx"),
    ".go": ("tree_sitter_go", "language"),
    ".rs": ("tree_sitter_rust", "language"),
    ".java": ("tree_sitter_java", "language"),
}
_LEADING = frozenset(
    {"comment", "line_comment", "block_comment", "decorator", "attribute_item", "annotation"}
)
_SIGNATURE = 100  # characters of a definition's first line that name what lies in it
_DEEPEST = 40


def blocks(text: str, *, key: str, largest: int) -> list[tuple[int, str]] | None:
    """Character offsets at which `text` may be cut, each with the first lines of the definitions
    it lies in; None where no grammar reads it. What has more than `largest` characters is opened.
    """
    parser = _parser(PurePosixPath(key).suffix.lower())
    if parser is None:
        return None
    data = text.encode()
    root = parser.parse(data).root_node
    found: list[tuple[int, str]] = []
    read = offset = 0
    for start, heading in sorted(_cuts(root, data, largest, (), 0)):
        offset += len(data[read:start].decode(errors="replace"))
        read = start
        if offset and (not found or found[-1][0] < offset):
            found.append((offset, heading))
    return found


def _cuts(
    node: Any, data: bytes, largest: int, path: tuple[str, ...], depth: int
) -> Iterator[tuple[int, str]]:
    """Byte offsets, at the start of a line where there is one before the definition."""
    led_from = None
    for child in node.children:
        led_from = child.start_byte if led_from is None else led_from
        if child.type in _LEADING:
            continue
        yield _line_start(data, led_from), " > ".join(path)
        if child.end_byte - child.start_byte > largest and depth < _DEEPEST:
            yield from _cuts(child, data, largest, (*path, *_named(child, data)), depth + 1)
        led_from = None


def _line_start(data: bytes, at: int) -> int:
    line = data.rfind(b"\n", 0, at) + 1
    return at if data[line:at].strip() else line


def _named(node: Any, data: bytes) -> tuple[str, ...]:
    """What names the definition; a part of one, such as its body, has no name of its own."""
    if node.child_by_field_name("name") is None:
        return ()
    first = data[node.start_byte : node.end_byte].split(b"\n", 1)[0]
    return (first.decode(errors="replace").strip(" {:\r")[:_SIGNATURE],)


@cache
def _parser(suffix: str) -> Any:
    if suffix not in _GRAMMARS:
        return None
    module, language = _GRAMMARS[suffix]
    try:
        tree_sitter = import_module("tree_sitter")
        grammar = getattr(import_module(module), language)()
    except ImportError:
        return None
    return tree_sitter.Parser(tree_sitter.Language(grammar))
