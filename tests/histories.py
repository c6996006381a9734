"""The corpus of journals: real histories as files, which code must fold as it always did."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from psycopg.types.json import Jsonb

from apps.agents import codec
from apps.agents.types import Definition
from apps.orchestration.records import Record, RunFacts
from apps.orchestration.types.runs import EventType

FOLDER = Path(__file__).resolve().parent / "unit" / "orchestration" / "journals"
_FACTS = ("agent_name", "tool", "strategy", "input", "given_route")
_NOBODY = UUID(int=0)


class History(NamedTuple):
    """A recorded run. The first `inherited` events are a fork's copies."""

    name: str
    run: RunFacts
    definition: Definition | None
    records: list[Record]
    contents: dict[str, Any]
    inherited: int


def write(name: str, run_id: UUID) -> None:
    """Record a stored run under this name."""
    from apps.agents import selectors as agents
    from apps.orchestration import activation
    from apps.orchestration.models import Run
    from apps.orchestration.services import replay

    run, records = replay.read_journal(run_id)
    version = run.agent_version_id
    definition = codec.to_json(agents.get_definition(version_id=version)) if version else None
    stored = {
        "run": {fact: getattr(run, fact) for fact in _FACTS},
        "definition": definition,
        "inherited": Run.objects.get(id=run_id).forked_at_seq or 0,
        "events": [_event(record) for record in records],
        "contents": activation.contents_of(run, records),
    }
    body = orjson.dumps(stored, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (FOLDER / f"{name}.json").write_bytes(body + b"\n")


def _event(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__slots__}


def read(name: str) -> History:
    stored = orjson.loads((FOLDER / f"{name}.json").read_bytes())
    run = RunFacts(
        id=_NOBODY,
        organisation_id=_NOBODY,
        team_id=_NOBODY,
        project_id=_NOBODY,
        key_id=None,
        **stored["run"],
    )
    definition = stored["definition"]
    return History(
        name=name,
        run=run,
        definition=None if definition is None else codec.from_json(definition),
        records=[_record(event) for event in stored["events"]],
        contents=stored["contents"],
        inherited=stored["inherited"],
    )


def _record(event: dict[str, Any]) -> Record:
    return Record(
        **{
            **event,
            "type": EventType(event["type"]),
            "started_at": datetime.fromisoformat(event["started_at"]),
            "at": datetime.fromisoformat(event["at"]),
            "cost_usd": Decimal(event["cost_usd"]),
        }
    )


def store(superuser_url: str, organisation_id: UUID, run_id: UUID, history: History) -> None:
    """Put a history in place of a run's own journal."""
    with psycopg.connect(superuser_url) as connection:
        connection.execute("DELETE FROM event WHERE run_id = %s", [run_id])
        for name, content in history.contents.items():
            connection.execute(
                "INSERT INTO run_blob VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [organisation_id, bytes.fromhex(name), orjson.dumps(content)],
            )
        for record in history.records:
            values = [getattr(record, name) for name in Record.__slots__]
            columns = ", ".join(Record.__slots__)
            marks = ", ".join(["%s"] * (len(values) + 2))
            connection.execute(
                f"INSERT INTO event (run_id, fence, {columns}) VALUES ({marks})",
                [run_id, 1, *(Jsonb(v) if isinstance(v, dict) else v for v in values)],
            )
        connection.execute(
            "UPDATE run SET next_seq = %s, strategy = %s WHERE id = %s",
            [len(history.records) + 1, history.run.strategy, run_id],
        )


NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
