"""The smallest documents of each office format that say the same thing."""

import io
import zipfile

HEADING = "Tide table"
SENTENCE = "The gate shuts at nine."

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "application/vnd.openxmlformats-officedocument"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_SLIDES = "http://schemas.openxmlformats.org/presentationml/2006/main"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
_OPEN = "urn:oasis:names:tc:opendocument:xmlns"


def _zipped(parts: dict[str, str]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in parts.items():
            archive.writestr(path, text if path == "mimetype" else _HEAD + text)
    return held.getvalue()


def _open_xml(document: str, kind: str, parts: dict[str, str]) -> bytes:
    """`kind` is the main part's type, `parts` what the package holds beside the list of them."""
    types = (
        '<Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/{document}" ContentType="{_MAIN}.{kind}.main+xml"/>'
    )
    listed = f'<Types xmlns="{_PACKAGE}/content-types">{types}</Types>'
    return _zipped(
        {
            "[Content_Types].xml": listed,
            "_rels/.rels": _related(("officeDocument", document)),
            **parts,
        }
    )


def _related(*targets: tuple[str, str]) -> str:
    links = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>'


def _docx() -> bytes:
    lines = "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in (HEADING, SENTENCE))
    text = f'<w:document xmlns:w="{_WORD}"><w:body>{lines}</w:body></w:document>'
    kind = "wordprocessingml.document"
    return _open_xml("word/document.xml", kind, {"word/document.xml": text})


def _xlsx() -> bytes:
    cells = "".join(
        f'<row r="{row}"><c r="A{row}" t="inlineStr"><is><t>{line}</t></is></c></row>'
        for row, line in enumerate((HEADING, SENTENCE), start=1)
    )
    book = (
        f'<workbook xmlns="{_SHEET}" xmlns:r="{_OFFICE}">'
        '<sheets><sheet name="Tides" sheetId="1" r:id="rId1"/></sheets></workbook>'
    )
    return _open_xml(
        "xl/workbook.xml",
        "spreadsheetml.sheet",
        {
            "xl/workbook.xml": book,
            "xl/_rels/workbook.xml.rels": _related(("worksheet", "worksheets/sheet1.xml")),
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SHEET}"><sheetData>{cells}'
            "</sheetData></worksheet>",
        },
    )


def _pptx() -> bytes:
    lines = "".join(
        "<p:sp><p:nvSpPr><p:cNvPr id='2' name='t'/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>"
        f"<p:txBody><a:bodyPr/><a:p><a:r><a:t>{line}</a:t></a:r></a:p></p:txBody></p:sp>"
        for line in (HEADING, SENTENCE)
    )
    names = f'xmlns:p="{_SLIDES}" xmlns:a="{_DRAWING}" xmlns:r="{_OFFICE}"'
    slide = f"<p:sld {names}><p:cSld><p:spTree>{lines}</p:spTree></p:cSld></p:sld>"
    shown = '<p:sldIdLst><p:sldId id="256" r:id="rId1"/></p:sldIdLst>'
    return _open_xml(
        "ppt/presentation.xml",
        "presentationml.presentation",
        {
            "ppt/presentation.xml": f"<p:presentation {names}>{shown}</p:presentation>",
            "ppt/_rels/presentation.xml.rels": _related(("slide", "slides/slide1.xml")),
            "ppt/slides/slide1.xml": slide,
        },
    )


def _odt() -> bytes:
    text = (
        f'<office:document-content xmlns:office="{_OPEN}:office:1.0" '
        f'xmlns:text="{_OPEN}:text:1.0"><office:body><office:text>'
        f"<text:h>{HEADING}</text:h><text:p>{SENTENCE}</text:p>"
        "</office:text></office:body></office:document-content>"
    )
    return _zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": text})


def _rtf() -> bytes:
    return rb"{\rtf1\ansi " + f"{HEADING}\\par {SENTENCE}\\par".encode() + b"}"


DOCUMENTS = {
    "tides.docx": _docx(),
    "tides.xlsx": _xlsx(),
    "tides.pptx": _pptx(),
    "tides.odt": _odt(),
    "tides.rtf": _rtf(),
}
