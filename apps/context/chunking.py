"""Cuts a text into pieces that joined give the text back, character by character.

Each piece fits the smallest embedding model's window (256 tokens) and knows the headings above it.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import PurePosixPath

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from apps.context import grammar, office
from apps.context.types import SpaceKind

TARGET_CHARACTERS = (500, 800)
MAX_TOKENS = 220
CONTEXT_CHARACTERS = 500  # of a neighbouring turn
_FRAGMENT = 120  # a shorter piece (a heading, an opening fence) joins the one after it
_JOINED = 1000
_TITLE = 160

# A page or an office document is kept as the Markdown that was made of it.
_MARKDOWN = {".md", ".markdown", ".mdx", ".rmd", ".html", ".htm", ".xhtml", *office.TYPES}
_CODE = frozenset(
    f".{suffix}"
    for suffixes in (
        "bash c cc clj cpp cs css cu dart ex go h hpp hs java js json jsx kt lua m",
        "php pl proto ps1 py r rb rs scala scss sh sql svelte swift tf toml ts tsx vue",
        "xml yaml yml zig",
    )
    for suffix in suffixes.split()
)
_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*)")
_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})")
_BLOCK_START = re.compile(
    r"\n(?=(?:@|async def |class |def |export |fn |func |function |pub |type )|[^\s})\]])"
)
_UNBROKEN = re.compile(r"(?<!\S)\S{1000,}")
_LONG_LINE = re.compile(r"[^\n]{16000,}\n?")
_WINDOW = 8000  # characters that a longer line is taken apart into, at the end of a sentence
# A turn begins at a line that names its speaker, perhaps after a time or number in brackets or not,
# or after an empty line.
_TURN = re.compile(
    r"""\n(?=\W{0,4}
      (?:[\[(<][^\])>\n]{1,40}[\])>]
       |(?:(?=\S{0,30}\d)[\w:/.,-]{1,30}+[\ ,|-]{1,3}+(?:[ap]\.?m\b[.,]?[\ ,|-]{0,3}+)?){1,4}
      )?
      \W{0,4}[^\W\d_][\w\ .'()-]{0,40}(?:\([^)\n]{1,40}\))?[*_]{0,2}:[*_]{0,2}\s)
    |(?<=\n)[ \t]*\n(?=[ \t]*\S)""",
    re.VERBOSE,
)


class Syntax(StrEnum):
    PROSE = "prose"
    MARKDOWN = "markdown"
    CODE = "code"
    DIALOGUE = "dialogue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Characters `start` to `start + len(text)`; `heading` is `Title > Section`, or empty.

    `context` holds the turns of a dialogue around this one: its words are found, not its meaning.
    """

    text: str
    heading: str
    start: int
    context: str = ""

    @property
    def hash(self) -> bytes:
        """Identifies the piece, its headings and its context: the same hash needs no second
        embedding.
        """
        around = f"\x1f{self.context}" if self.context else ""
        return hashlib.sha256(f"{self.heading}\x1f{self.text}{around}".encode()).digest()

    @property
    def indexed(self) -> str:
        """What is embedded: the headings, then the text."""
        body = self.text.strip()
        return f"{self.heading}\n{body}" if self.heading and body else body


def syntax_of(key: str, kind: SpaceKind) -> Syntax:
    """Told by the name's ending; a name without a known one is code in a space of code."""
    suffix = PurePosixPath(key).suffix.lower()
    if suffix in _MARKDOWN and kind is not SpaceKind.DIALOGUE:
        return Syntax.MARKDOWN
    if suffix in _CODE or (kind is SpaceKind.CODE and not suffix):
        return Syntax.CODE
    return Syntax.DIALOGUE if kind is SpaceKind.DIALOGUE else Syntax.PROSE


def split_entry(text: str, *, key: str, kind: SpaceKind) -> tuple[Piece, ...]:
    """The pieces of what `key` of a space of that kind says."""
    return split(text, syntax=syntax_of(key, kind), key=key)


def split(text: str, *, syntax: Syntax, key: str = "") -> tuple[Piece, ...]:
    """The pieces of `text`, in order; none for an empty text. The ending of `key` tells the
    grammar of code.
    """
    if not text:
        return ()
    if syntax is Syntax.DIALOGUE:
        return tuple(_turns(text))
    if syntax is Syntax.CODE and (code := _definitions(text, key)):
        return code
    spans = _spans(list(_cut(text, syntax)))
    if syntax is Syntax.MARKDOWN:
        headings = _markdown_headings(text)
        named = [(span, _heading_at(headings, span)) for span in spans]
    else:
        title = _title(text) if syntax is Syntax.PROSE else ""
        named = [(span, title if span[0] else "") for span in spans]
    return tuple(
        Piece(text=text[start:end], heading=heading, start=start) for (start, end), heading in named
    )


def heading_of(line: str) -> tuple[int, str] | None:
    """Level and title of an ATX heading (https://spec.commonmark.org/0.31.2/#atx-headings)."""
    found = _HEADING.match(line.rstrip())
    if found is None:
        return None
    title = found[2].rstrip("#")
    return len(found[1]), title.rstrip() if title[-1:].isspace() else found[2]


def count_tokens(text: str) -> int:
    """About how many word pieces a BERT vocabulary makes of `text`; errs on the high side."""
    words = re.findall(r"[^\W_]+|[^\w\s]|_", text)
    return sum(len(w) if not w.isascii() else 1 + (len(w) - 1) // 6 for w in words)


def _turns(text: str) -> Iterator[Piece]:
    """One piece for each turn, with the turns before and after it as its context."""
    bounds = [0, *(match.end() for match in _TURN.finditer(text) if match.end()), len(text)]
    turns = [text[start:end] for start, end in pairwise(bounds)]
    start = 0
    for place, turn in enumerate(turns):
        around = (*turns[max(0, place - 1) : place], *turns[place + 1 : place + 2])
        context = "\n".join(other.strip()[:CONTEXT_CHARACTERS] for other in around)
        for part in _cut(turn, Syntax.PROSE):
            yield Piece(text=part, heading="", start=start, context=context)
            start += len(part)


@cache
def _splitter(syntax: Syntax, low: int, high: int) -> MarkdownSplitter | TextSplitter:
    kind = MarkdownSplitter if syntax is Syntax.MARKDOWN else TextSplitter
    return kind((low, high), trim=False)


def _cut(text: str, syntax: Syntax) -> Iterator[str]:
    """Long lines are taken apart first: the splitter takes quadratic time over them."""
    start = 0
    for line in _LONG_LINE.finditer(text):
        yield from _cut_lines(text[start : line.start()], syntax)
        for window in _windows(line[0]):
            yield from _cut_lines(window, syntax)
        start = line.end()
    yield from _cut_lines(text[start:], syntax)


def _windows(line: str) -> Iterator[str]:
    start = 0
    while len(line) - start > 2 * _WINDOW:
        near = line[start : start + _WINDOW]
        size = near.rfind(". ") + 2 if ". " in near else near.rfind(" ") + 1
        size = size or _WINDOW
        yield line[start : start + size]
        start += size
    yield line[start:]


def _cut_lines(text: str, syntax: Syntax) -> Iterator[str]:
    """What has no gap to be cut at is sliced, for the same reason."""
    start = 0
    for run in _UNBROKEN.finditer(text):
        yield from _cut_spaced(text[start : run.start()], syntax)
        yield from _slices(run[0])
        start = run.end()
    yield from _cut_spaced(text[start:], syntax)


def _slices(run: str) -> Iterator[str]:
    size = TARGET_CHARACTERS[1]
    for start in range(0, len(run), size):
        yield from _within_tokens(run[start : start + size], Syntax.PROSE)


def _cut_spaced(text: str, syntax: Syntax) -> Iterator[str]:
    if not text:
        return
    if syntax is Syntax.CODE:
        yield from _cut_code(text)
        return
    for part in _splitter(syntax, *TARGET_CHARACTERS).chunks(text):
        yield from _within_tokens(part, syntax)


def _definitions(text: str, key: str) -> tuple[Piece, ...]:
    """Definitions by the grammar of the language, small neighbours together; each piece knows what
    it lies in. Empty where no grammar reads the text.
    """
    found = grammar.blocks(text, key=key, largest=TARGET_CHARACTERS[1])
    if found is None:
        return ()
    inside = {0: "", **dict(found)}
    pieces: list[Piece] = []
    start = 0
    for block in _gather(text, [*inside, len(text)]):
        heading = inside[start]
        for part in _cut(block, Syntax.CODE) if len(block) > TARGET_CHARACTERS[1] else (block,):
            for whole in _within_tokens(part, Syntax.CODE):
                pieces.append(Piece(text=whole, heading=heading, start=start))
                start += len(whole)
    return tuple(pieces)


def _cut_code(text: str) -> Iterator[str]:
    """Top-level blocks, gathered up to the target; a block that is larger is cut at line breaks."""
    bounds = [0, *(match.end() for match in _BLOCK_START.finditer(text)), len(text)]
    for block in _gather(text, bounds):
        yield from _within_tokens(block, Syntax.CODE)


def _gather(text: str, bounds: list[int]) -> Iterator[str]:
    low, high = TARGET_CHARACTERS
    gathered = ""
    for start, end in pairwise(bounds):
        block = text[start:end]
        if gathered and (len(gathered) >= low or len(gathered) + len(block) > high):
            yield gathered
            gathered = ""
        gathered += block
    yield gathered


def _within_tokens(part: str, syntax: Syntax) -> Iterator[str]:
    low, high = TARGET_CHARACTERS
    if len(part) <= high and count_tokens(part) <= MAX_TOKENS:
        yield part
        return
    size = min(high, max(40, len(part) * MAX_TOKENS // max(1, count_tokens(part))))
    if size >= len(part):
        size = max(40, len(part) // 2)
    pieces = _splitter(syntax, max(1, size * low // high), size).chunks(part)
    if len(pieces) == 1:
        yield part
        return
    for piece in pieces:
        yield from _within_tokens(piece, syntax)


def _spans(parts: list[str]) -> list[tuple[int, int]]:
    """Ranges of the parts, with fragments joined to what follows them."""
    spans: list[tuple[int, int]] = []
    start = end = 0
    for part in parts:
        joined = end - start + len(part)
        if end > start and (end - start >= _FRAGMENT or joined > _JOINED):
            spans.append((start, end))
            start = end
        end += len(part)
    if end > start:
        spans.append((start, end))
    return spans


def _markdown_headings(text: str) -> list[tuple[int, int, str]]:
    """`(offset, level, title)` of every ATX heading outside fenced code."""
    found: list[tuple[int, int, str]] = []
    offset, fence = 0, ""
    for line in text.splitlines(keepends=True):
        if mark := _FENCE.match(line):
            if not fence:
                fence = mark[1]
            elif line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif not fence and (heading := heading_of(line)):
            found.append((offset, *heading))
        offset += len(line)
    return found


def _heading_at(headings: list[tuple[int, int, str]], span: tuple[int, int]) -> str:
    """The headings that are open where the span begins; its own are in its text already."""
    path: list[tuple[int, str]] = []
    for offset, level, title in headings:
        if offset >= span[0]:
            break
        path = [(above, name) for above, name in path if above < level]
        path.append((level, title))
    return " > ".join(name for _, name in path)


def _title(text: str) -> str:
    """The first line of prose, where it stands alone like a title."""
    first, _, rest = text.partition("\n")
    stands_alone = rest.startswith(("\n", "\r\n")) and 0 < len(first.strip()) <= _TITLE
    return first.strip() if stands_alone else ""
