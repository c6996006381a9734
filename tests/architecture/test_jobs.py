"""Every job that is enqueued is registered with a worker, and every registered job is enqueued."""

import ast
import re
from collections.abc import Iterable

from tests.architecture.source import (
    ROOT,
    calls,
    constants,
    name_of,
    python_files,
    string_of,
    tree_of,
)

UNKNOWN = "a name that is neither a literal nor a constant of its module"
IN_SQL = re.compile(r"INTO outbox\b.*", re.DOTALL | re.IGNORECASE)
QUOTED_NAME = re.compile(r"'([a-z_]+\.[a-z_]+)'")


def enqueued_in(tree: ast.Module) -> set[str]:
    """Names given to `enqueue`, `enqueue_all` and `subscribe(job=…)`, and those in SQL that writes
    the outbox itself.
    """
    known = constants(tree)
    found: set[str] = set()
    for name, call in calls(tree):
        last = name.rpartition(".")[2]
        values = call.args[:1] if last in {"enqueue", "enqueue_all"} else []
        if last == "subscribe":
            values = [keyword.value for keyword in call.keywords if keyword.arg == "job"]
        found |= {string_of(value, known) or UNKNOWN for value in values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            statements = IN_SQL.findall(node.value)
            found |= {job for sql in statements for job in QUOTED_NAME.findall(sql)}
    return found


def enqueued() -> dict[str, str]:
    """Each job name and a file that enqueues it. The kernel's own plumbing passes names on."""
    files = (path for path in python_files() if path.parent != ROOT / "platform/octavo/kernel")
    return {job: name_of(path) for path in files for job in enqueued_in(tree_of(path))}


def registered() -> set[str]:
    from workers import app

    app.loader.import_default_modules()
    return {name for name in app.tasks if not name.startswith("celery.")}


def queues_of(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_enqueued_and_registered_names_are_the_same() -> None:
    assert set(enqueued()) == registered()


def test_every_job_belongs_to_a_layer() -> None:
    folders = {path.parent.name for path in (ROOT / "apps").glob("*/apps.py")}
    assert queues_of(registered()) <= folders


def test_names_are_found_in_calls_constants_subscriptions_and_sql() -> None:
    source = (
        'ADVANCE = "orchestration.advance"\n'
        'jobs.enqueue("context.ingest", job_id=1)\n'
        "jobs.enqueue(ADVANCE)\n"
        'events.subscribe("approval.decided", job="orchestration.approval_decided")\n'
        "SQL = \"INSERT INTO outbox (name, args) SELECT 'orchestration.wake', args FROM run\"\n"
        "jobs.enqueue(name)\n"
    )
    assert enqueued_in(ast.parse(source)) == {
        "context.ingest",
        "orchestration.advance",
        "orchestration.approval_decided",
        "orchestration.wake",
        UNKNOWN,
    }
