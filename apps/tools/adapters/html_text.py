"""A web page as the text that a reader sees; never an error, however broken the page is."""

import re
from html.parser import HTMLParser

_UNSEEN = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "object", "head"})
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset"),
        *("figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
        *("hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul"),
    }
)
_VOID = frozenset({"br", "hr"})


def readable(page: str) -> str:
    """The title, then the text: one line for each block, headings marked with `#`."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._title: list[str] = []
        self._unseen: list[str] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._in_title = True
        elif tag == "body":
            self._unseen.clear()  # a head that was never closed
        elif tag in _UNSEEN:
            self._unseen.append(tag)
        elif tag in _BLOCKS:
            self._parts.append("\n")
            self._parts.append(_mark(tag))
        elif tag in {"td", "th"}:
            self._parts.append(" | ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self._parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        elif tag in _BLOCKS - _VOID:
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self._title.append(data)
        elif not self._unseen:
            self._parts.append(re.sub(r"\s+", " ", data))

    def text(self) -> str:
        title = " ".join("".join(self._title).split())
        lines = (" ".join(line.split()) for line in "".join(self._parts).split("\n"))
        body = "\n".join(line for line in lines if line.strip("|#- "))
        return f"{title}\n\n{body}".strip()


def _mark(tag: str) -> str:
    if tag == "li":
        return "- "
    return f"{'#' * int(tag[1])} " if len(tag) == 2 and tag[1].isdigit() else ""
