"""Nothing is fetched at run time: pages refer to no other host, and the lock names no index."""

import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, name_of

PAGES = {".html", ".css", ".js", ".mjs", ".svg"}
FOREIGN = re.compile(
    r"""(?:src|srcset|action|poster)\s*=\s*["']?(?:https?:)?//
      | <link\b[^>]*\bhref\s*=\s*["']?(?:https?:)?//
      | url\(\s*["']?(?:https?:)?//
      | @import\s+["'](?:https?:)?//
      | \b(?:from|import)\s*\(?\s*["'](?:https?:)?//
      | \bfetch\(\s*["'`](?:https?:)?//""",
    re.VERBOSE | re.IGNORECASE,
)
INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)[^>]*>|<style\b|\son\w+\s*=\s*[\"']|\sstyle\s*=\s*[\"']"
)
LOCKED = re.compile(r"[\w.-]+(\[[\w,-]+\])?==[\w.+!-]+( ; [^@]+)?")


def pages() -> list[Path]:
    folders = [ROOT / "apps", ROOT / "platform"]
    return [p for folder in folders for p in folder.rglob("*") if p.suffix in PAGES]


def unpinned(lock: str) -> list[str]:
    """Lines of a lock that are not `name==version`, with a marker at most."""
    lines = (line.strip() for line in lock.splitlines())
    return [line for line in lines if line and line[0] != "#" and not LOCKED.fullmatch(line)]


def test_pages_load_nothing_from_another_host() -> None:
    assert [name_of(path) for path in pages() if FOREIGN.search(path.read_text())] == []


def test_pages_need_no_inline_script_or_style() -> None:
    found = [name_of(p) for p in pages() if p.suffix == ".html" and INLINE.search(p.read_text())]
    assert found == []


def test_the_lock_names_versions_and_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert unpinned(lock) == []
    assert "://" not in lock


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        "body { background: url('https://cdn.example/x.png') }",
        'import x from "https://cdn.example/x.js"',
    ],
)
def test_another_host_is_noticed(page: str) -> None:
    assert FOREIGN.search(page)


@pytest.mark.parametrize(
    "page",
    [
        '<a href="https://example.org">a link is no load</a>',
        '<svg xmlns="http://www.w3.org/2000/svg">',
        '<script src="/static/live.js" type="module"></script>',
    ],
)
def test_links_and_namespaces_are_fine(page: str) -> None:
    assert not FOREIGN.search(page)
    assert not INLINE.search(page)


@pytest.mark.parametrize(
    "page", ["<script>x()</script>", '<b onclick="x()">', "<style>b{}</style>"]
)
def test_inline_script_is_noticed(page: str) -> None:
    assert INLINE.search(page)


def test_an_index_in_the_lock_is_noticed() -> None:
    lock = "--index-url https://example.org\na==1\nb @ https://example.org/b.whl\nc>=2\n"
    assert len(unpinned(lock)) == 3
