"""Reads office documents and e-mail as Markdown, where the extra `documents` is installed."""

from importlib import import_module
from pathlib import PurePath

from apps.context.types import UnreadableFile

_OPEN_XML = "application/vnd.openxmlformats-officedocument"
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument"
TYPES = {
    ".docx": f"{_OPEN_XML}.wordprocessingml.document",
    ".pptx": f"{_OPEN_XML}.presentationml.presentation",
    ".xlsx": f"{_OPEN_XML}.spreadsheetml.sheet",
    ".odt": f"{_OPEN_DOCUMENT}.text",
    ".ods": f"{_OPEN_DOCUMENT}.spreadsheet",
    ".rtf": "application/rtf",
    ".epub": "application/epub+zip",
    ".eml": "message/rfc822",
    ".msg": "application/vnd.ms-outlook",
}


def read(*, name: str, data: bytes) -> str:
    """Raises `UnreadableFile` where the reader is not installed or cannot make sense of it."""
    try:
        kreuzberg = import_module("kreuzberg")
    except ImportError:
        raise UnreadableFile(
            f"{name} needs the reader of office documents and e-mail, which is not installed. "
            "Install it with `pip install 'octavo[documents]'`, or save the file as PDF or text."
        ) from None
    config = kreuzberg.ExtractionConfig(use_cache=False, output_format="markdown")
    kind = TYPES[PurePath(name).suffix.lower()]
    try:
        return str(kreuzberg.extract_bytes_sync(data, kind, config=config).content)
    except kreuzberg.KreuzbergError as error:
        raise UnreadableFile(
            f"{name} cannot be read ({error}). Open it, save it again and retry."
        ) from None
