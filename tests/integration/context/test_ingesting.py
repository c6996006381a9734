"""Files: every kind that can be read, every way one can be bad, and none that stops the rest."""

import codecs
import os
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import override_settings

from apps.context import selectors
from apps.context.models import IngestFile, IngestJob
from apps.context.services import ingestion, searching
from apps.context.types import FileReport, FileStatus, SearchMode
from octavo.kernel.errors import InvalidInput, NotFound, TooLarge
from octavo.kernel.models import Outbox
from tests.integration.context.pdfs import ENCRYPTED, pdf_with_text
from tests.runs import eventually


def ingest(scope: Any, *paths: Path) -> dict[str, Any]:
    reports = ingestion.ingest_paths(scope=scope, space="notes", paths=list(paths))
    return {report.path.name: report for report in reports}


def text_of(scope: Any, key: str) -> str:
    return selectors.get_entry(scope=scope, space="notes", key=key).text


def test_text_comes_in_whatever_its_unicode_encoding(
    scope: Any, space: str, tmp_path: Path
) -> None:
    text = "Grüße aus Zürich 😀\n"
    files = {
        "utf8.txt": text.encode(),
        "bom.txt": codecs.BOM_UTF8 + text.encode(),
        "le.txt": codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        "be.txt": codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    reports = ingest(scope, tmp_path)
    assert {report.status for report in reports.values()} == {FileStatus.ADDED}
    assert {text_of(scope, name) for name in files} == {text}


def test_a_bad_file_is_reported_and_the_rest_goes_on(
    scope: Any, space: str, tmp_path: Path
) -> None:
    bad = {
        "latin1.txt": "Grüße".encode("latin-1"),
        "binary.bin": b"\x7fELF\x00\x01\x02",
        "nul.txt": codecs.BOM_UTF16_LE + "a\x00b".encode("utf-16-le"),
        "odd.txt": codecs.BOM_UTF16_LE + b"a\x00b",
        "utf32.txt": "hello".encode("utf-32"),
        "corrupt.pdf": b"%PDF-1.7\n" + os.urandom(500),
        "fake.pdf": b"not a pdf at all",
        "scan.pdf": _empty_pdf(),
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "zz_good.txt").write_text("good")
    reports = ingest(scope, tmp_path, tmp_path / "absent.txt")
    assert reports["zz_good.txt"].status is FileStatus.ADDED
    failed = {name for name, report in reports.items() if report.status is FileStatus.FAILED}
    assert failed == {*bad, "dangling", "absent.txt"}
    assert all(name in reports[name].detail for name in failed)
    assert "UTF-8" in reports["latin1.txt"].detail
    assert "text layer" in reports["scan.pdf"].detail


def test_an_encrypted_pdf_says_that_it_is(scope: Any, space: str, tmp_path: Path) -> None:
    (tmp_path / "locked.pdf").write_bytes(ENCRYPTED)
    report = ingest(scope, tmp_path)["locked.pdf"]
    assert report.status is FileStatus.FAILED
    assert "encrypted" in report.detail


def test_the_text_of_a_pdf_is_found(scope: Any, space: str, tmp_path: Path) -> None:
    (tmp_path / "contract.pdf").write_bytes(
        pdf_with_text(["The notice period is six weeks.", "Page two."])
    )
    report = ingest(scope, tmp_path)["contract.pdf"]
    assert report.status is FileStatus.ADDED, report.detail
    assert text_of(scope, "contract.pdf") == "The notice period is six weeks.\n\nPage two."
    found = searching.search(
        scope=scope, query="notice period", spaces=["notes"], mode=SearchMode.LEXICAL
    )
    assert found.hits[0].metadata == {"pages": 2}


def test_an_unchanged_file_is_not_read_again(
    scope: Any, space: str, tmp_path: Path, embedder: Any
) -> None:
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "b.txt").write_text("second")
    ingest(scope, tmp_path)
    embedder.texts.clear()
    (tmp_path / "b.txt").write_text("second, changed")
    reports = ingest(scope, tmp_path)
    assert reports["a.txt"].status is FileStatus.UNCHANGED
    assert reports["b.txt"].status is FileStatus.UPDATED
    assert embedder.texts == ["second, changed"]


def test_files_are_embedded_together_and_each_counts_its_own(
    scope: Any, space: str, tmp_path: Path, embedder: Any
) -> None:
    for n in range(5):
        (tmp_path / f"{n}.txt").write_text("alike" if n < 2 else f"file {n}")
    reports = ingest(scope, tmp_path)
    assert sorted(report.embedded for report in reports.values()) == [1, 1, 1, 1, 1]
    assert sorted(embedder.texts) == ["alike", "file 2", "file 3", "file 4"]


def test_a_text_that_is_erased_while_its_file_is_on_its_way_is_reported(
    scope: Any, space: str, tmp_path: Path
) -> None:
    from apps.context.services import ingestion, writing

    writing.write_entry(scope=scope, space=space, key="old", content="alike", why="First.")
    (tmp_path / "a.txt").write_text("something else")
    (tmp_path / "b.txt").write_text("alike")

    def erase(report: FileReport) -> None:
        if report.path.name == "a.txt":
            writing.erase_entry(scope=scope, space=space, key="old", why="asked to")

    reports = ingestion.ingest_paths(scope=scope, space=space, paths=[tmp_path], on_file=erase)
    assert [report.status for report in reports] == [FileStatus.ADDED, FileStatus.FAILED]
    assert "Write it again" in reports[1].detail
    assert ingest(scope, tmp_path)["b.txt"].status is FileStatus.ADDED


def test_folders_that_hold_no_knowledge_are_left_out_and_links_do_not_lead_in_circles(
    scope: Any, space: str, tmp_path: Path
) -> None:
    for folder in (".git", "node_modules", ".hidden", "docs/deep", "__pycache__"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file.txt").write_text(folder)
    (tmp_path / ".env").write_text("SECRET=1")
    (tmp_path / "docs" / "loop").symlink_to(tmp_path)
    reports = ingestion.ingest_paths(scope=scope, space="notes", paths=[tmp_path])
    keys = [e.key for e in selectors.list_entries(scope=scope, space="notes")]
    assert keys == ["docs/deep/file.txt"]
    assert len(reports) == 1


def test_a_link_out_of_the_folder_is_reported_and_not_followed(
    scope: Any, space: str, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("not meant for the space")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "docs" / "up").symlink_to(tmp_path)
    reports = ingest(scope, tmp_path / "docs")
    assert {report.status for report in reports.values()} == {FileStatus.FAILED}
    assert "link out of the folder" in reports["link.txt"].detail
    assert selectors.list_entries(scope=scope, space="notes") == []


def test_a_file_over_the_cap_and_an_empty_one_are_told_apart(
    scope: Any, space: str, tmp_path: Path
) -> None:
    (tmp_path / "big.txt").write_text("x" * 2000)
    (tmp_path / "empty.txt").write_text(" \n")
    with override_settings(MAX_FILE_BYTES=1000):
        reports = ingest(scope, tmp_path)
        with pytest.raises(TooLarge):
            ingestion.start_job(scope=scope, space="notes", uploads=[("a.txt", b"x" * 1001)])
    assert reports["big.txt"].status is FileStatus.FAILED
    assert "OCTAVO_MAX_FILE_BYTES" in reports["big.txt"].detail
    assert reports["empty.txt"].status is FileStatus.SKIPPED


def test_uploads_become_a_job_that_runs_once(scope: Any, space: str) -> None:
    uploads = [("docs/a.txt", b"alpha"), ("../../b.txt", b"beta"), ("c.bin", b"\x00\x01")]
    job = ingestion.start_job(scope=scope, space=space, uploads=uploads)
    assert (job.status, job.total, job.done) == ("queued", 3, 0)
    assert Outbox.objects.get(name="context.ingest").args == {"job_id": str(job.id)}
    ingestion.run_job(job_id=str(job.id))
    ingestion.run_job(job_id=str(job.id))
    done = selectors.get_job(scope=scope, job_id=job.id)
    assert (done.status, done.done) == ("done", 3)
    assert Counter(report.status for report in done.reports) == {"added": 2, "failed": 1}
    assert text_of(scope, "b.txt") == "beta"
    assert not IngestFile.objects.exclude(payload=None).exists()


def test_a_job_waits_while_no_model_answers(scope: Any, space: str, embedder: Any) -> None:
    job = ingestion.start_job(scope=scope, space=space, uploads=[("a.txt", b"alpha")])
    embedder.is_down = True
    ingestion.run_job(job_id=str(job.id))
    assert selectors.get_job(scope=scope, job_id=job.id).status == "queued"
    assert Outbox.objects.filter(name="context.ingest").count() == 2
    embedder.is_down = False
    ingestion.run_job(job_id=str(job.id))
    assert selectors.get_job(scope=scope, job_id=job.id).status == "done"


def test_a_job_that_never_finds_a_model_fails_with_the_reason(
    scope: Any, space: str, embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "_ATTEMPTS", 0)
    embedder.is_down = True
    job = ingestion.start_job(scope=scope, space=space, uploads=[("a.txt", b"alpha")])
    ingestion.run_job(job_id=str(job.id))
    failed = selectors.get_job(scope=scope, job_id=job.id)
    assert failed.status == "failed"
    assert failed.reports[0].detail


LEFT = (
    "UPDATE ingest_job SET created_at = now() - interval '61 s', "
    "touched_at = now() - interval '61 s'"
)


def execute(statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def run_job_in_thread(job_id: str) -> None:
    try:
        ingestion.run_job(job_id=job_id)
    finally:
        connections.close_all()


def hints() -> int:
    return Outbox.objects.filter(name="context.ingest").count()


def test_a_job_whose_hint_was_lost_gets_another_after_a_minute(scope: Any, space: str) -> None:
    job = ingestion.start_job(scope=scope, space=space, uploads=[("a.txt", b"alpha")])
    assert ingestion.revive_jobs() == 0
    execute(LEFT)
    assert [ingestion.revive_jobs(), ingestion.revive_jobs()] == [1, 0]
    assert hints() == 2
    ingestion.run_job(job_id=str(job.id))
    execute(LEFT)
    assert ingestion.revive_jobs() == 0
    assert selectors.get_job(scope=scope, job_id=job.id).status == "done"


def test_a_job_is_left_to_the_worker_that_holds_it_until_that_is_lost(
    scope: Any, space: str
) -> None:
    job = ingestion.start_job(scope=scope, space=space, uploads=[("a.txt", b"alpha")])
    execute("UPDATE ingest_job SET status = 'running'")
    ingestion.run_job(job_id=str(job.id))
    assert ingestion.revive_jobs() == 0
    assert selectors.get_job(scope=scope, job_id=job.id).status == "running"
    execute(LEFT)
    assert ingestion.revive_jobs() == 1
    ingestion.run_job(job_id=str(job.id))
    assert selectors.get_job(scope=scope, job_id=job.id).status == "done"


def test_a_worker_shows_that_it_holds_its_job_while_a_file_takes_long(
    scope: Any, space: str, embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "_BEAT_SECONDS", 0.02)
    job = ingestion.start_job(scope=scope, space=space, uploads=[("a.txt", b"alpha")])
    embedder.may_answer.clear()
    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(run_job_in_thread, str(job.id))
        eventually(lambda: embedder.texts == ["alpha"])
        execute(LEFT)
        fresh = "SELECT count(*) FROM ingest_job WHERE touched_at > now() - interval '10 s'"
        eventually(lambda: execute(fresh) == [(1,)])
        assert ingestion.revive_jobs() == 0
        embedder.may_answer.set()
        worker.result(10)
    assert selectors.get_job(scope=scope, job_id=job.id).status == "done"


def test_a_job_that_three_workers_were_lost_over_fails_with_the_reason(
    scope: Any, space: str
) -> None:
    job = ingestion.start_job(scope=scope, space=space, uploads=[("a.txt", b"alpha")])
    for _ in range(3):
        execute("UPDATE ingest_job SET status = 'running'")
        execute(LEFT)
        assert ingestion.revive_jobs() == 1
    ingestion.run_job(job_id=str(job.id))
    failed = selectors.get_job(scope=scope, job_id=job.id)
    assert failed.status == "failed"
    assert "worker was lost" in failed.reports[0].detail


def test_a_job_without_files_without_a_space_or_with_a_name_twice_is_refused(
    scope: Any, space: str
) -> None:
    with pytest.raises(InvalidInput):
        ingestion.start_job(scope=scope, space=space, uploads=[])
    with pytest.raises(InvalidInput):
        ingestion.start_job(scope=scope, space=space, uploads=[("a", b"b"), ("./a", b"c")])
    with pytest.raises(NotFound):
        ingestion.start_job(scope=scope, space="nowhere", uploads=[("a", b"b")])
    assert not IngestJob.objects.exists()


def test_the_command_adds_files_to_a_new_space(
    scope: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.md").write_text("# A\n\nAbout [brackets] and lamps.")
    call_command("context", "add", "fresh", str(tmp_path))
    call_command("context", "search", "fresh", "lamps")
    call_command("context", "list")
    call_command("context", "list", "fresh")
    out = capsys.readouterr().out
    assert "added     " in out
    assert "About [brackets] and lamps." in out
    assert "fresh  text, 1 entries, 1 chunks" in out
    assert "a.md  revision 1" in out


def test_the_command_ends_with_1_when_a_file_failed(scope: Any, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x00")
    with pytest.raises(SystemExit) as ended:
        call_command("context", "add", "fresh", str(tmp_path))
    assert ended.value.code == 1
    with pytest.raises(CommandError):
        call_command("context", "add", "never", str(tmp_path / "absent"))
    with pytest.raises(NotFound):
        selectors.get_space(scope=scope, name="never")


def _empty_pdf() -> bytes:
    import io

    document = pypdfium2.PdfDocument.new()
    document.new_page(200, 200)
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    return buffer.getvalue()


def test_the_files_of_an_archive_become_entries(
    scope: Any, space: str, embedder: Any, tmp_path: Path
) -> None:
    packed = tmp_path / "docs.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/tide.md", "The gate shuts at nine.")
        archive.writestr("b.bin", b"\x00\x01")
        archive.writestr("../out.md", "not taken")
    with packed.open("rb") as file:
        uploads = [("docs.zip", file), ("docs/a/lamp.md", b"The lamp."), ("bad.tgz", b"noise")]
        job = ingestion.start_job(scope=scope, space=space, uploads=uploads)
    ingestion.run_job(job_id=str(job.id))
    reports = selectors.get_job(scope=scope, job_id=job.id).reports
    assert {str(report.path): report.status.value for report in reports} == {
        "docs.zip": "unpacked",
        "docs/a/lamp.md": "added",
        "bad.tgz": "failed",
        "docs/a/tide.md": "added",
        "docs/b.bin": "failed",
    }
    assert text_of(scope, "docs/a/tide.md") == "The gate shuts at nine."
    embedder.texts.clear()
    again = ingest(scope, packed)
    assert again["tide.md"].status is FileStatus.UNCHANGED
    assert embedder.texts == []
