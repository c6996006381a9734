"""The text layer of a PDF. Importing this module loads pdfium, which is not thread-safe."""

import threading

import pypdfium2

from apps.context.types import UnreadableFile

_PASSWORD = 4  # FPDF_ERR_PASSWORD of pdfium's fpdfview.h
_pdfium = threading.Lock()


def read(*, name: str, data: bytes) -> tuple[str, int]:
    """The text of all pages, an empty line between two, and how many pages there are."""
    with _pdfium:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if getattr(error, "err_code", None) == _PASSWORD or "password" in str(error).lower():
                raise UnreadableFile(
                    f"{name} is encrypted. Remove its password (print it to a new PDF) and retry."
                ) from None
            raise UnreadableFile(
                f"{name} is not a PDF that can be opened ({error}). Export it again and retry."
            ) from None
        try:
            pages = [_page_text(document, number) for number in range(len(document))]
        except pypdfium2.PdfiumError as error:
            raise UnreadableFile(
                f"{name} has a damaged page ({error}). Export it again and retry."
            ) from None
        finally:
            document.close()
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise UnreadableFile(
            f"{name} has no text layer: its pages are images. Run OCR over it (for example "
            "ocrmypdf) and retry."
        )
    return text, len(pages)


def _page_text(document: pypdfium2.PdfDocument, number: int) -> str:
    page = document[number]
    layer = page.get_textpage()
    try:
        text: str = layer.get_text_bounded()
    finally:
        layer.close()
        page.close()
    clean = text.replace("\r\n", "\n").replace("\x00", "").replace("\ufffe", "-")
    return clean.encode("utf-8", "replace").decode().strip()
