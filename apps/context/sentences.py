"""Cuts Markdown and prose into what may be quoted alone: sentences, list items, table rows, code.

A fenced block stays whole, with the line that introduces it. Offsets are exact: nothing is
rewritten.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from apps.context.chunking import heading_of

_WHOLE_ITEM = 320  # a longer list item is quoted by the sentence
_WHOLE_BLOCK = 1500  # a longer code block is quoted by the paragraph

_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+")
_RULE = re.compile(r"[ \t]*(?:\|?[ \t]*:?-{2,}:?(?:[ \t]*\|[ \t:-]*)*|={3,}|\*{3,}|_{3,})[ \t]*$")
_QUOTED = re.compile(r"[ \t]*>[ \t]?")
# Straight and curly quotation marks (U+2018…U+201D), the ellipsis (U+2026), the full stops of
# Chinese and Japanese (U+3002, U+FF01, U+FF1F).
_CLOSERS = "\"'\u2019\u201d)\\]*_`"
_OPENERS = "\"'\u2018\u201c(\\[*_`"
_END = re.compile(
    rf"[.!?\u2026][{_CLOSERS}]*(?=\s+[{_OPENERS}]*[A-Z0-9À-ÞΑ-ΩА-Я`\[])|[\u3002\uff01\uff1f]"
)
_ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|cf|vs|etc|al|Figs?|Eq|No|Nr|Vol|pp|Dr|Mr|Mrs|Ms|Prof|St|approx|ca|resp|[A-Z])\.$"
)


class UnitKind(StrEnum):
    SENTENCE = "sentence"
    ITEM = "item"
    ROW = "row"
    CODE = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Characters `start` to `end` of the text; `heading` is the nearest one above, `lead` what the
    unit cannot be understood without: the line above a code block, a table's header, the question
    that the sentence answers.
    """

    start: int
    end: int
    kind: UnitKind
    heading: str = ""
    lead: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    text: str

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def is_blank(self) -> bool:
        return not self.text.strip()


def units(text: str, *, heading: str = "") -> list[Unit]:
    """The quotable units of `text`, in order. `heading` is the one that is open where it begins."""
    found: list[Unit] = []
    for block in _blocks(text):
        first = block[0].text
        if title := heading_of(first):
            heading = title[1]
        elif _FENCE.match(first):
            _add_code(found, text, block, heading)
        elif _is_row(first):
            found.extend(_rows(block, heading))
        elif not _RULE.match(first):
            found.extend(_prose(text, block, heading))
    return found


def _blocks(text: str) -> Iterator[list[_Line]]:
    """Headings, fenced blocks, tables, list items and paragraphs, each as its lines."""
    block: list[_Line] = []
    fence = ""
    for line in _lines(text):
        if fence:
            block.append(line)
            if line.text.strip().startswith(fence) and not line.text.strip().strip(fence[0]):
                yield block
                block, fence = [], ""
            continue
        mark = _FENCE.match(line.text)
        if block and (line.is_blank or _begins_block(line, block)):
            yield block
            block = []
        if not line.is_blank:
            block.append(line)
        if mark:
            fence = mark[1]
    if block:
        yield block


def _begins_block(line: _Line, block: list[_Line]) -> bool:
    last = block[-1].text
    if _FENCE.match(line.text) or heading_of(line.text) or heading_of(last):
        return True
    if _RULE.match(line.text) and not _is_row(line.text):
        return True
    return bool(_ITEM.match(line.text)) or _is_row(line.text) != _is_row(last)


def _is_row(line: str) -> bool:
    cells = line.strip()
    return len(cells) > 1 and cells[0] == cells[-1] == "|"


def _lines(text: str) -> Iterator[_Line]:
    offset = 0
    for line in text.splitlines(keepends=True):
        yield _Line(offset, line.rstrip("\r\n"))
        offset += len(line)


def _add_code(found: list[Unit], text: str, block: list[_Line], heading: str) -> None:
    """The block with its introduction, if the line before it ends in a colon."""
    start, end = block[0].start, block[-1].end
    lead = ""
    if found and found[-1].heading == heading and found[-1].kind is not UnitKind.CODE:
        lead = text[found[-1].start : found[-1].end]
        introduces = lead.rstrip("*_ ").endswith(":") and not text[found[-1].end : start].strip()
        if introduces and end - found[-1].start <= _WHOLE_BLOCK:
            start = found.pop().start
    if end - start <= _WHOLE_BLOCK:
        found.append(Unit(start=start, end=end, kind=UnitKind.CODE, heading=heading, lead=lead))
        return
    paragraph: list[_Line] = []
    for line in [*block[1:], _Line(end, "")]:
        is_last = line.is_blank or _FENCE.match(line.text) is not None
        if is_last and paragraph:
            span = (paragraph[0].start, paragraph[-1].end)
            found.append(
                Unit(start=span[0], end=span[1], kind=UnitKind.CODE, heading=heading, lead=lead)
            )
            paragraph = []
        elif not is_last:
            paragraph.append(line)


def _rows(block: list[_Line], heading: str) -> Iterator[Unit]:
    has_header = len(block) > 1 and _RULE.match(block[1].text) is not None
    lead = block[0].text.strip(" \t|") if has_header else ""
    for line in block[2 if has_header else 0 :]:
        if _RULE.match(line.text) or not line.text.strip(" \t|"):
            continue
        start = line.start + len(line.text) - len(line.text.lstrip(" \t|"))
        end = line.start + len(line.text.rstrip(" \t|"))
        yield Unit(start=start, end=end, kind=UnitKind.ROW, heading=heading, lead=lead)


def _prose(text: str, block: list[_Line], heading: str) -> Iterator[Unit]:
    start, end = block[0].start, block[-1].end
    item = _ITEM.match(text, start) or _QUOTED.match(text, start)
    if item and item.end() < end:
        start = item.end()
        if end - start <= _WHOLE_ITEM:
            yield Unit(start=start, end=end, kind=UnitKind.ITEM, heading=heading)
            return
    lead = ""
    for first, last in _sentences(text, start, end):
        yield Unit(start=first, end=last, kind=UnitKind.SENTENCE, heading=heading, lead=lead)
        lead = text[first:last] if text[last - 1] == "?" else ""


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    first = start
    for mark in _END.finditer(text, start, end):
        if _ABBREVIATION.search(text, first, mark.end()):
            continue
        yield from _trimmed(text, first, mark.end())
        first = mark.end()
    yield from _trimmed(text, first, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if end > start:
        yield start, end
