"""The fenced blocks of the README and of `docs/`, and how each kind of block is proven."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = ("README.md", "docs/quickstart.md", "docs/files.md")  # in this order; then the others
LAST = ("docs/models.md",)  # points the route `default` at a server that is not there
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SETTING = re.compile(r"^[A-Z][A-Z_]+=")
_CLIENT = re.compile(r'^(claude mcp add|npx @modelcontextprotocol|\{"mcpServers")')


class Kind(StrEnum):
    """What a block is, by its first line."""

    SHELL = "shell"  # run as it stands, against a live Octavo
    PYTHON = "python"  # the same
    REQUEST = "request"  # `POST /path {…}`: sent
    CLIENT = "client"  # an MCP client: its address and header are used by the SDK's client
    FILE = "file"  # a workflow as YAML: the commands after it read it
    FILTER = "filter"  # the filter of a search: sent with one
    MACHINE = "machine"  # git, make, docker compose: compared with the files they read
    SETTINGS = "settings"  # lines of .env: each name is in .env.example
    PICTURE = "picture"  # nothing to run


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    page: str
    text: str
    language: str

    @property
    def kind(self) -> Kind | None:
        """None for a block that nothing would prove."""
        first = self.text.lstrip("\n").split("\n", 1)[0]
        if self.language == "python":
            return Kind.PYTHON
        if self.language == "yaml":
            return Kind.FILE
        if "┌" in self.text:
            return Kind.PICTURE
        if _CLIENT.match(first):
            return Kind.CLIENT
        if _SETTING.match(first):
            return Kind.SETTINGS
        starts = {
            ("curl ", "python manage.py ", "source ", "export ", "hook="): Kind.SHELL,
            ("docker compose ", "make ", "git clone "): Kind.MACHINE,
            ("POST ", "PUT ", "PATCH ", "GET ", "DELETE "): Kind.REQUEST,
            ("{",): Kind.FILTER,
        }
        return next((kind for words, kind in starts.items() if first.startswith(words)), None)


def pages() -> list[str]:
    found = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
    return [*PAGES, *(page for page in found if page not in PAGES + LAST), *LAST]


def blocks() -> Iterator[Block]:
    """In the order in which a reader may run them. A block of two parts is two blocks."""
    for page in pages():
        for language, text in _FENCE.findall((ROOT / page).read_text()):
            whole = Block(page=page, text=text, language=language)
            if whole.kind is Kind.SETTINGS:
                parts = re.split(r"\n\n+", text)
                yield from (Block(page=page, text=part, language=language) for part in parts)
            else:
                yield whole


def of_kind(*kinds: Kind) -> list[Block]:
    return [block for block in blocks() if block.kind in kinds]
