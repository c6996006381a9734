"""Bytes become text, or a reason with a next step."""

import codecs
import random
import sys
from contextlib import suppress

import pytest

from apps.context.parsing import parse
from apps.context.types import UnreadableFile
from tests.unit.context import offices


def test_a_byte_order_mark_is_not_part_of_the_text() -> None:
    assert parse(name="a.txt", data=codecs.BOM_UTF8 + b"a").text == "a"


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_read_or_refused_but_never_breaks(seed: int) -> None:
    noise = random.Random(seed).randbytes(3000)
    for head in (b"", b"%PDF-1.4\n", codecs.BOM_UTF16_LE, codecs.BOM_UTF8, codecs.BOM_UTF16_BE):
        with suppress(UnreadableFile):
            text = parse(name="noise", data=head + noise).text
            assert "\x00" not in text
            text.encode()


def test_an_e_mail_is_read() -> None:
    mail = b"From: a@b.example\r\nSubject: Tide table\r\n\r\nThe gate shuts at nine.\r\n"
    text = parse(name="note.eml", data=mail).text
    assert "Tide table" in text
    assert "The gate shuts at nine." in text


@pytest.mark.parametrize("name", sorted(offices.DOCUMENTS))
def test_an_office_document_is_read(name: str) -> None:
    text = parse(name=name, data=offices.DOCUMENTS[name]).text
    assert offices.HEADING in text
    assert offices.SENTENCE in text


def test_what_is_no_office_document_is_refused_by_name() -> None:
    with pytest.raises(UnreadableFile, match=r"report\.docx cannot be read"):
        parse(name="report.docx", data=b"PK no document")


def test_an_office_document_says_what_its_reader_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kreuzberg", None)
    with pytest.raises(UnreadableFile, match=r"octavo\[documents\]"):
        parse(name="report.docx", data=b"PK")
