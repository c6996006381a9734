"""What a reader sees of an HTML page, as Markdown: headings, lists, tables, code; no scripts."""

import re
from html.parser import HTMLParser

_SKIPPED = frozenset({"script", "style", "template", "noscript", "svg", "iframe", "nav", "head"})
_BLOCKS = frozenset(
    tag
    for tags in (
        "address article aside blockquote dd details div dl dt fieldset figcaption figure footer",
        "form header hr main ol p section summary table tbody thead ul",
    )
    for tag in tags.split()
)
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_MAX_DEPTH = 500  # of lists within lists; more is an attack


def to_markdown(source: str) -> str:
    """Text in the order of the page; never fails, whatever the markup."""
    reader = _Reader()
    reader.feed(source)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    """https://html.spec.whatwg.org/ as far as it tells blocks from phrases."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._skipping = 0
        self._code = 0
        self._lists = 0
        self._title = False
        self._heading = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _SKIPPED:
            self._skipping += 1
        if tag == "title" and not self._parts:
            self._title = True
        if tag in _HEADINGS:
            self._put(f"\n\n{_HEADINGS[tag]} ")
        elif tag == "li":
            self._put(f"\n{'  ' * max(0, self._lists - 1)}- ")
        elif tag == "pre":
            self._put("\n\n```\n")
            self._code += 1
        elif tag in {"td", "th"}:
            self._put(" | ")
        elif tag in {"br", "tr"}:
            self._put("\n")
        elif tag in _BLOCKS and not (tag in {"ul", "ol"} and self._lists):
            self._put("\n\n")
        if tag in {"ul", "ol"}:
            self._lists = min(self._lists + 1, _MAX_DEPTH)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipping = max(0, self._skipping - 1)
        if tag == "title":
            self._title = False
        if tag in {"ul", "ol"}:
            self._lists = max(0, self._lists - 1)
        if tag == "pre" and self._code:
            self._code -= 1
            self._put("\n```\n\n")
        elif (tag in _HEADINGS or tag in _BLOCKS) and not (tag in {"ul", "ol"} and self._lists):
            self._put("\n\n")

    def handle_data(self, data: str) -> None:
        if self._title and data.strip():
            self._heading = " ".join(data.split())
        elif not self._skipping:
            self._parts.append(data if self._code else re.sub(r"\s+", " ", data))

    def _put(self, text: str) -> None:
        if not self._skipping:
            self._parts.append(text)

    def text(self) -> str:
        """The title stands above a page that has no heading of the first level."""
        body = re.sub(r"[ \t]*\n", "\n", "".join(self._parts))
        body = re.sub(r"\n +(?!- )", "\n", body) if "```" not in body else body
        body = re.sub(r"\n{3,}", "\n\n", body).strip()
        has_heading = re.search(r"^# ", body, re.MULTILINE) is not None
        return body if has_heading or not self._heading else f"# {self._heading}\n\n{body}"
