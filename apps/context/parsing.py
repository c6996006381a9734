"""Turns the bytes of a file into text or says why it cannot; never guesses an encoding."""

import codecs
import hashlib
from dataclasses import dataclass
from pathlib import PurePath

from apps.context import html, office
from apps.context.types import UnreadableFile

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_SNIFFED = 8192
_HTML = frozenset({".html", ".htm", ".xhtml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    text: str
    metadata: dict[str, object]


def hash_of(data: bytes) -> bytes:
    """Names the content of a file; a file of the same hash need not be read again."""
    return hashlib.sha256(data).digest()


def parse(*, name: str, data: bytes) -> Parsed:
    """The text of a PDF, an office document, an e-mail, an HTML page, or a UTF-8 or UTF-16 text
    file.

    Raises `UnreadableFile` naming the file, the cause and the next step.
    """
    if _is_pdf(data):
        from apps.context import pdf  # loads pdfium: only processes that read a PDF pay for it

        text, pages = pdf.read(name=name, data=data)
        return Parsed(text=text, metadata={"pages": pages})
    suffix = PurePath(name).suffix.lower()
    if suffix in office.TYPES:
        return Parsed(text=office.read(name=name, data=data), metadata={})
    if suffix == ".pdf":
        raise UnreadableFile(f"{name} does not begin like a PDF. Export it again and retry.")
    text = _decode(name, data)
    if suffix in _HTML:
        return Parsed(text=html.to_markdown(text), metadata={})
    return Parsed(text=text, metadata={})


def is_plain(*, name: str, data: bytes) -> bool:
    """Whether `parse` reads the file without a native library, which a file may bring down."""
    return not _is_pdf(data) and PurePath(name).suffix.lower() not in office.TYPES


def _is_pdf(data: bytes) -> bool:
    return data[:1024].lstrip().startswith(b"%PDF-")


def _decode(name: str, data: bytes) -> str:
    if data.startswith(_UTF32):
        raise UnreadableFile(f"{name} is UTF-32. Save it as UTF-8 and retry.")
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _decoded(name, data[len(bom) :], encoding)
    if b"\x00" in data[:_SNIFFED]:
        raise UnreadableFile(
            f"{name} is binary (it holds NUL bytes). Only text, Markdown, code, PDF and office "
            "documents can be read: convert it first."
        )
    return _decoded(name, data, "utf-8")


def _decoded(name: str, data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"{name} is not valid {encoding.upper()} (byte {error.start}). Save it as UTF-8 and "
            "retry."
        ) from None
    if "\x00" in text:
        raise UnreadableFile(
            f"{name} holds NUL characters, so it is not text. Remove them or convert the file."
        )
    return text
