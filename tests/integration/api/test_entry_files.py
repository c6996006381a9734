"""An entry is written from a file: read for its text, refused with the reason, and never the end of
the process that serves others.
"""

from typing import Any

import pytest
from django.test import override_settings

from tests.integration.context.pdfs import pdf_with_text
from tests.unit.context.offices import DOCUMENTS

PATH = "spaces/rules/entries/contracts/acme"
PDF = pdf_with_text(["The contract ends in May.", "Nobody signed page two."])


@pytest.fixture(autouse=True)
def space(api: Any, models: Any) -> None:
    assert api.post("spaces", {"name": "rules"}).status == 201


def send(api: Any, name: str, data: bytes, **fields: str) -> Any:
    values = {name: [value] for name, value in ({"why": "Signed."} | fields).items()}
    return api.upload(PATH, [(name, data)], method="PUT", part="file", **values)


def test_the_text_of_a_file_becomes_the_entry(api: Any) -> None:
    told = '{"customer": "acme", "pages": "two"}'
    source = '[{"url": "https://example.test/acme.pdf"}]'
    fields = {"kind": "fact", "metadata": told, "sources": source, "base_rev": "0"}
    first = send(api, "acme.pdf", PDF, valid_from="2026-05-01T00:00:00Z", **fields)
    assert (first.status, first.body["revision"]) == (200, 1), first.body
    entry = api.get(PATH).body
    assert entry["content"] == "The contract ends in May.\n\nNobody signed page two."
    assert entry["metadata"] == {"customer": "acme", "pages": "two"}
    assert entry["kind"] == "fact"
    assert entry["why"] == "Signed."
    assert entry["sources"] == [{"url": "https://example.test/acme.pdf"}]
    assert send(api, "acme.pdf", PDF, base_rev="0").problem()["status"] == 409
    second = send(api, "acme.md", b"Ends in **June**.\n", base_rev="1").body
    assert (second["revision"], second["changed"]) == (2, True)
    assert api.get(PATH).body["content"] == "Ends in **June**.\n"
    found = api.post("context/search", {"query": "June", "spaces": ["rules"], "mode": "exact"})
    assert [hit["revision"] for hit in found.body["results"]] == [2]


def test_what_a_file_says_of_itself_is_kept(api: Any) -> None:
    assert send(api, "acme.pdf", PDF).body["revision"] == 1
    assert api.get(PATH).body["metadata"] == {"pages": 2}
    name, data = "tides.docx", DOCUMENTS["tides.docx"]
    assert send(api, name, data).body["revision"] == 2
    assert "tide" in api.get(PATH).body["content"].lower()


def test_a_form_may_hold_the_text_itself(api: Any) -> None:
    values = {"content": ["As it stands.\n"], "why": ["Typed."]}
    assert api.upload(PATH, [], method="PUT", **values).body["revision"] == 1
    assert api.get(PATH).body["content"] == "As it stands.\n"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("acme.pdf", b"%PDF-1.7 nothing", "not a PDF that can be opened"),
        ("acme.pdf", b"text", "does not begin like a PDF"),
        ("acme.docx", b"PK no document", "acme.docx cannot be read"),
        ("acme.txt", b"\xff\xff", "not valid UTF-8"),
        ("acme.txt", b" \n", "acme.txt is empty"),
        ("acme.bin", b"\x00\x01", "is binary"),
    ],
)
def test_a_file_without_text_is_refused(api: Any, name: str, data: bytes, said: str) -> None:
    problem = send(api, name, data).problem()
    assert (problem["status"], said in problem["detail"]) == (422, True), problem
    assert api.get(PATH).status == 404


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"metadata": "{"}, "/metadata"),
        ({"metadata": "[]"}, "/metadata"),
        ({"sources": "{}"}, "/sources"),
        ({"content": "Both."}, "/file"),
        ({"colour": "red"}, "/colour"),
        ({"why": ""}, "/why"),
        ({"base_rev": "one"}, "/base_rev"),
        ({"valid_from": "May"}, "/valid_from"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(api: Any, fields: dict[str, str], path: str) -> None:
    problem = send(api, "acme.txt", b"Text.", **fields).problem()
    assert problem["status"] == 422
    assert [error["path"] for error in problem["errors"]] == [path]


def test_neither_file_nor_text_is_refused(api: Any) -> None:
    problem = api.upload(PATH, [], method="PUT", why=["Nothing."]).problem()
    assert [error["path"] for error in problem["errors"]] == ["/file"]


@override_settings(MAX_FILE_BYTES=10)
def test_a_file_over_the_cap_is_refused(api: Any) -> None:
    assert send(api, "acme.txt", b"Eleven byte").problem()["status"] == 413


def test_a_file_that_ends_its_reader_ends_nothing_else(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.context import parser_process

    with monkeypatch.context() as patched:
        patched.setattr(parser_process.sys, "executable", "/bin/false")
        assert "ended the program that read it" in send(api, "acme.pdf", PDF).problem()["detail"]
    with monkeypatch.context() as patched:
        patched.setattr(parser_process, "_SECONDS", 0.001)
        assert "took more than" in send(api, "acme.pdf", PDF).problem()["detail"]
    assert send(api, "acme.pdf", PDF).status == 200
