"""Markdown as HTML for people: HTML inside it stays text, and pictures, which load, stay out."""

from django.utils.safestring import SafeString
from markdown_it import MarkdownIt


def _parser(**options: bool) -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False, **options}).enable("table").disable("image")


_FILE, _ANSWER = _parser(), _parser(breaks=True)


def render_file(text: str) -> SafeString:
    return SafeString(_FILE.render(text))


def render_answer(text: str) -> SafeString:
    """Line breaks stay, as whoever wrote the answer meant them."""
    return SafeString(_ANSWER.render(text))
