"""Which fields a definition has, by the kind of a node: the one list that reading, the docs and
the answer to a misspelt field share.
"""

from collections.abc import Mapping
from typing import Any

from apps.orchestration.workflows.types import AtBound, ItemErrors, Kind, When

MOST_NODES = 200
LONGEST_TEXT = 64_000
LONGEST_SECONDS = 30 * 86_400
MOST_CONCURRENT = 100
MOST_ROUNDS = 1_000
MOST_CALLS = 10_000

Schema = Mapping[str, Any]

_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
_OBJECT: Schema = {"type": "object"}
_ANY: Schema = {}
_SECONDS: Schema = {"type": "integer", "minimum": 1, "maximum": LONGEST_SECONDS}


def _count(most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _one_of(values: type[ItemErrors] | type[AtBound] | type[When] | type[Kind]) -> Schema:
    return {"enum": [str(value) for value in values]}


WORKFLOW: Mapping[str, Schema] = {
    "name": _NAME,
    "description": {"type": "string", "maxLength": LONGEST_TEXT},
    "input_schema": _OBJECT,
    "output_schema": _OBJECT,
    "limits": _OBJECT,
    "nodes": {"type": "array", "minItems": 1, "maxItems": MOST_NODES},
    "edges": {"type": "array", "maxItems": MOST_NODES * 5},
    "output": _ANY,
}
LIMITS: Mapping[str, Schema] = {
    "max_nodes": _count(MOST_CALLS),
    "deadline_seconds": {"type": "integer", "minimum": 1, "maximum": 366 * 86_400},
}
BODY: Mapping[str, Schema] = {name: WORKFLOW[name] for name in ("nodes", "edges", "output")}
EDGE: Mapping[str, Schema] = {
    "from": _NAME,
    "to": _NAME,
    "on": _one_of(When),
    "when": _TEXT,
    "otherwise": {"const": True},
}
RETRY: Mapping[str, Schema] = {"attempts": _count(10), "backoff_seconds": _count(3_600)}
NODE: Mapping[str, Schema] = {
    "id": _NAME,
    "kind": _one_of(Kind),
    "join": {"anyOf": [{"enum": ["all", "any"]}, _count(MOST_NODES)]},
}
_CALLS: Mapping[str, Schema] = {"retry": _OBJECT, "timeout_seconds": _SECONDS}
OF_KIND: Mapping[Kind, Mapping[str, Schema]] = {
    Kind.AGENT: {"agent": _NAME, "input": _ANY, **_CALLS},
    Kind.TOOL: {"tool": _NAME, "arguments": _OBJECT, **_CALLS},
    Kind.MODEL: {
        "prompt": _TEXT,
        "system": _TEXT,
        "route": _NAME,
        "output_schema": _OBJECT,
        **_CALLS,
    },
    Kind.BRANCH: {},
    Kind.MAP: {
        "over": _TEXT,
        "body": _OBJECT,
        "concurrency": _count(MOST_CONCURRENT),
        "on_item_error": _one_of(ItemErrors),
    },
    Kind.LOOP: {
        "until": _TEXT,
        "body": _OBJECT,
        "max_rounds": _count(MOST_ROUNDS),
        "at_bound": _one_of(AtBound),
    },
    Kind.APPROVAL: {"message": _TEXT, "timeout_seconds": _SECONDS},
    Kind.WAIT: {
        "seconds": {"anyOf": [_SECONDS, _TEXT]},
        "signal": _NAME,
        "timeout_seconds": _SECONDS,
    },
    Kind.WORKFLOW: {"workflow": _NAME, "input": _ANY, **_CALLS},
}
REQUIRED: Mapping[Kind, tuple[str, ...]] = {
    Kind.AGENT: ("agent", "input"),
    Kind.TOOL: ("tool",),
    Kind.MODEL: ("prompt",),
    Kind.BRANCH: (),
    Kind.MAP: ("over", "body"),
    Kind.LOOP: ("until", "body", "max_rounds"),
    Kind.APPROVAL: ("message",),
    Kind.WAIT: (),
    Kind.WORKFLOW: ("workflow", "input"),
}
