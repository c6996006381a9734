"""`manage.py context add|search|list|reembed|export|import`: the context store from a terminal."""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from apps.accounts import selectors as accounts
from apps.context import selectors, walking
from apps.context.services import ingestion, searching, spaces, transferring, writing
from apps.context.types import FileReport, FileStatus, SearchMode
from octavo.kernel import ids
from octavo.kernel.errors import OctavoError
from octavo.kernel.scope import Scope

_SHOWN = 400


class Command(BaseCommand):
    help = "Add files to a space, search a space, list spaces and entries."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--project", default="", help="project id; the default project if left out"
        )
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="add|search|list|…")
        add = verbs.add_parser("add", help="read files and folders into a space")
        add.add_argument("space")
        add.add_argument("paths", nargs="+", type=Path, metavar="file-or-folder")
        search = verbs.add_parser("search", help="find passages in a space")
        search.add_argument("space")
        search.add_argument("query")
        search.add_argument("--limit", type=int, default=5)
        search.add_argument("--mode", choices=[str(mode) for mode in SearchMode], default="hybrid")
        listing = verbs.add_parser("list", help="list spaces, or the entries of one")
        listing.add_argument("space", nargs="?", default="")
        listing.add_argument("--limit", type=int, default=1000)
        reembed = verbs.add_parser("reembed", help="move a space to the present embedding model")
        reembed.add_argument("space")
        export = verbs.add_parser("export", help="write a space and its history to a .tar.gz file")
        bring = verbs.add_parser("import", help="make a new space of an exported file")
        for parser in (export, bring):
            parser.add_argument("space")
            parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        console = Console(file=cast(IO[str], self.stdout), soft_wrap=True, highlight=False)
        verbs: dict[str, Callable[[Console, Scope, dict[str, Any]], None]] = {
            "add": _add,
            "search": _search,
            "list": _list,
            "reembed": _reembed,
            "export": _export,
            "import": _import,
        }
        try:
            verbs[options["verb"]](console, _scope(options["project"]), options)
        except OctavoError as error:
            raise CommandError(str(error)) from error


def _scope(project: str) -> Scope:
    project_id: UUID = accounts.default_project().id
    if project:
        project_id = ids.decode(ids.Kind.PROJECT, project)
    return accounts.system_scope(project_id=project_id)


def _add(console: Console, scope: Scope, options: dict[str, Any]) -> None:
    space, paths = options["space"], options["paths"]
    missing = [str(path) for path in paths if not path.exists()]
    if len(missing) == len(paths):
        raise CommandError(f"{', '.join(missing)}: no such file or folder. Check the path.")
    spaces.ensure_space(scope=scope, name=space)
    if console.is_terminal:
        reports = _add_with_bar(console, scope, space, paths)
    else:
        reports = ingestion.ingest_paths(
            scope=scope, space=space, paths=paths, on_file=lambda report: _line(console, report)
        )
    _summarise(console, space, reports)
    if any(report.status is FileStatus.FAILED for report in reports):
        raise SystemExit(1)


def _add_with_bar(
    console: Console, scope: Scope, space: str, paths: list[Path]
) -> list[FileReport]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        total = sum(1 for _ in walking.find_files(paths))
        task = progress.add_task(space, total=total)

        def advance(report: FileReport) -> None:
            progress.update(task, advance=1, description=report.path.name[:40])
            if report.status is FileStatus.FAILED:
                _line(progress.console, report)

        return ingestion.ingest_paths(scope=scope, space=space, paths=paths, on_file=advance)


def _line(console: Console, report: FileReport) -> None:
    detail = f": {report.detail}" if report.detail else ""
    console.print(f"{report.status:<9} {report.path}{detail}", markup=False)


def _summarise(console: Console, space: str, reports: list[FileReport]) -> None:
    counts = Counter(report.status for report in reports)
    table = Table(title=f"Space {space}", title_justify="left")
    for status in FileStatus:
        table.add_column(status.value, justify="right")
    table.add_column("chunks", justify="right")
    table.add_column("embedded", justify="right")
    chunks = sum(report.chunks for report in reports)
    embedded = sum(report.embedded for report in reports)
    table.add_row(*(str(counts[status]) for status in FileStatus), str(chunks), str(embedded))
    console.print(table)


def _search(console: Console, scope: Scope, options: dict[str, Any]) -> None:
    found = searching.search(
        scope=scope,
        query=options["query"],
        spaces=[options["space"]],
        limit=options["limit"],
        mode=SearchMode(options["mode"]),
    )
    for place, hit in enumerate(found.hits, start=1):
        cited = hit.citation
        text = hit.text if len(hit.text) <= _SHOWN else f"{hit.text[:_SHOWN]}…"
        console.print(
            f"{place}. {cited.key} (revision {cited.revision}, "
            f"characters {cited.start}-{cited.end}, score {hit.score:.2f})",
            style="bold",
            markup=False,
        )
        console.print(f"{text}\n", markup=False)
    if not found.hits:
        console.print(f"Nothing in {options['space']} matches. Try other words.")


def _list(console: Console, scope: Scope, options: dict[str, Any]) -> None:
    if options["space"]:
        entries = selectors.list_entries(
            scope=scope, space=options["space"], limit=options["limit"]
        )
        for entry in entries:
            console.print(
                f"{entry.key}  revision {entry.revision.number}, {entry.length:,} characters",
                markup=False,
            )
        return
    for space in selectors.list_spaces(scope=scope, limit=options["limit"]):
        console.print(
            f"{space.name}  {space.kind}, {space.entries} entries, {space.chunks} chunks",
            markup=False,
        )


def _reembed(console: Console, scope: Scope, options: dict[str, Any]) -> None:
    renewed = writing.reembed_space(scope=scope, space=options["space"])
    console.print(f"{renewed} chunks of {options['space']} have new vectors.")


def _export(console: Console, scope: Scope, options: dict[str, Any]) -> None:
    path: Path = options["file"]
    try:
        with path.open("xb") as file:
            transferring.export_space(scope=scope, space=options["space"], file=file)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
    except OctavoError:
        path.unlink()
        raise
    console.print(f"{options['space']} is in {path}.", markup=False)


def _import(console: Console, scope: Scope, options: dict[str, Any]) -> None:
    try:
        with options["file"].open("rb") as file:
            made = transferring.import_space(scope=scope, space=options["space"], file=file)
    except OSError as error:
        raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from error
    console.print(f"{made.name} has {made.entries} entries at {made.seq}.", markup=False)
