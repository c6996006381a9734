"""Two texts side by side, line by line; long stretches that stayed the same are left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

_AROUND = 3
MOST_LINES = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row: the old line and the new one; `skipped` stands for so many lines without a change."""

    left_number: int | None = None
    left: str = ""
    right_number: int | None = None
    right: str = ""
    is_changed: bool = False
    skipped: int = 0


def compare(left: str, right: str) -> list[Line]:
    """Rows of both texts, the first `MOST_LINES` of each."""
    old, new = left.splitlines()[:MOST_LINES], right.splitlines()[:MOST_LINES]
    rows: list[Line] = []
    matcher = SequenceMatcher(a=old, b=new, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            is_last = b == len(old) and d == len(new)
            rows.extend(_same(old[a:b], a, c, is_first=a == 0 and c == 0, is_last=is_last))
        else:
            rows.extend(_changed(old[a:b], new[c:d], a, c))
    return rows


def _same(
    lines: Sequence[str], left: int, right: int, *, is_first: bool, is_last: bool
) -> Iterator[Line]:
    head, tail = 0 if is_first else _AROUND, 0 if is_last else _AROUND
    hidden = len(lines) - head - tail
    for index, text in enumerate(lines):
        if hidden > 1 and index == head:
            yield Line(skipped=hidden)
        if hidden <= 1 or index < head or index >= len(lines) - tail:
            yield Line(
                left_number=left + index + 1, left=text, right_number=right + index + 1, right=text
            )


def _changed(old: Sequence[str], new: Sequence[str], left: int, right: int) -> Iterator[Line]:
    for index, (before, after) in enumerate(zip_longest(old, new)):
        yield Line(
            left_number=None if before is None else left + index + 1,
            left=before or "",
            right_number=None if after is None else right + index + 1,
            right=after or "",
            is_changed=True,
        )
