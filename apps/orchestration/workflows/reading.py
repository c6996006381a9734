"""A document as a definition: every problem of its shape at once, each where it stands.

What the parts say of each other is for `checking`.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from apps.orchestration.types.workflows import WorkflowProblem
from apps.orchestration.workflows import fields
from apps.orchestration.workflows.documents import Document
from apps.orchestration.workflows.fields import Schema
from apps.orchestration.workflows.rendering import as_text
from apps.orchestration.workflows.types import (
    Ask,
    AtBound,
    Branch,
    Call,
    Definition,
    Edge,
    Graph,
    ItemErrors,
    Kind,
    Limits,
    Loop,
    Map,
    Node,
    Retry,
    When,
    Work,
)
from apps.tools.services import schemas

APPROVAL_TOOL = "ask_approval"
WAIT_TOOL = "wait"
SIGNAL_TOOL = "await_signal"
_CONCURRENCY = 8
_WITH_BODY = {Kind.MAP, Kind.LOOP}


def read_definition(document: Document) -> tuple[Definition | None, list[WorkflowProblem]]:
    """The definition, unless its shape is wrong: then None, and what is wrong with it."""
    reader = _Reader(document)
    data = document.data
    if not isinstance(data, Mapping):
        return None, [document.problem("", "a workflow is an object with `nodes` and `edges`.")]
    reader.check(data, "", fields.WORKFLOW, required=("nodes",))
    limits = reader.part(data, "/limits", fields.LIMITS)
    graph = reader.graph(data, "")
    for name in ("input_schema", "output_schema"):
        reader.json_schema(data, name, f"/{name}")
    if reader.problems:
        return None, reader.problems
    return (
        Definition(
            graph=graph,
            description=data.get("description", ""),
            input_schema=data.get("input_schema"),
            output_schema=data.get("output_schema"),
            limits=Limits(**limits),
        ),
        [],
    )


class _Reader:
    """Collects problems. What it returns is only of use while there are none."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[WorkflowProblem] = []

    def add(self, path: str, detail: str, *, key: bool = False) -> None:
        self.problems.append(self.document.problem(path, detail, key=key))

    def check(
        self,
        data: Mapping[str, Any],
        path: str,
        known: Mapping[str, Schema],
        required: tuple[str, ...],
    ) -> None:
        for name in data:
            if name not in known:
                self.add(f"{path}/{name}", _unknown(name, known), key=True)
        for name in required:
            if name not in data:
                self.add(path, f"`{name}` is missing.")
        for name, schema in known.items():
            if name in data:
                self._fits(data[name], f"{path}/{name}", schema)

    def _fits(self, value: Any, path: str, schema: Schema) -> None:
        if schema:
            for _, detail in schemas.list_problems(schema=schema, instance=value):
                self.add(path, f"{detail}.")

    def part(
        self, data: Mapping[str, Any], path: str, known: Mapping[str, Schema]
    ) -> dict[str, Any]:
        """A field that is an object of its own."""
        value = data.get(path.rpartition("/")[2])
        if not isinstance(value, Mapping):
            return {}
        self.check(value, path, known, required=())
        return dict(value)

    def json_schema(self, data: Mapping[str, Any], name: str, path: str) -> None:
        schema = data.get(name)
        if isinstance(schema, Mapping):
            wrong = schemas.check_schema(schema=schema)
            if wrong:
                self.add(path, wrong)

    def graph(self, data: Mapping[str, Any], path: str) -> Graph:
        nodes = [
            self.node(item, f"{path}/nodes/{index}")
            for index, item in enumerate(_items(data.get("nodes")))
        ]
        edges = [
            self.edge(item, f"{path}/edges/{index}")
            for index, item in enumerate(_items(data.get("edges")))
        ]
        return Graph(
            nodes=tuple(node for node in nodes if node),
            edges=tuple(edge for edge in edges if edge),
            output=data.get("output"),
        )

    def edge(self, data: Any, path: str) -> Edge | None:
        if not isinstance(data, Mapping):
            self.add(path, "an edge is an object with `from` and `to`.")
            return None
        before = len(self.problems)
        self.check(data, path, fields.EDGE, required=("from", "to"))
        if len(self.problems) > before:
            return None
        return Edge(
            source=data["from"],
            target=data["to"],
            on=When(data.get("on", When.SUCCESS)),
            when=data.get("when"),
            otherwise=data.get("otherwise", False),
        )

    def node(self, data: Any, path: str) -> Node | None:
        if not isinstance(data, Mapping):
            self.add(path, "a node is an object with `id` and `kind`.")
            return None
        if data.get("kind") not in set(Kind):
            self._wrong_kind(data, path)
            return None
        kind = Kind(data["kind"])
        before = len(self.problems)
        known = {**fields.NODE, **fields.OF_KIND[kind]}
        self.check(data, path, known, required=("id", *fields.REQUIRED[kind]))
        retry = self.part(data, f"{path}/retry", fields.RETRY)
        self.json_schema(data, "output_schema", f"{path}/output_schema")
        body = self.body(data, path) if kind in _WITH_BODY else None
        work = self.work(kind, data, path, body) if len(self.problems) == before else None
        if work is None or len(self.problems) > before:
            return None
        return Node(
            id=data["id"],
            kind=kind,
            work=work,
            needs=_needs(data.get("join", "all")),
            retry=Retry(**retry),
            timeout_seconds=data.get("timeout_seconds"),
        )

    def _wrong_kind(self, data: Mapping[str, Any], path: str) -> None:
        kinds = ", ".join(Kind)
        if "kind" in data:
            close = _close(str(data["kind"]), Kind)
            self.add(f"{path}/kind", f"there is no kind {data['kind']!r}.{close} Kinds: {kinds}.")
        else:
            self.add(path, f"`kind` is missing. Kinds: {kinds}.")

    def work(
        self, kind: Kind, data: Mapping[str, Any], path: str, body: Graph | None
    ) -> Work | None:
        match kind:
            case Kind.MODEL:
                return Ask(
                    prompt=data["prompt"],
                    system=data.get("system", ""),
                    route=data.get("route", "default"),
                    output_schema=data.get("output_schema"),
                )
            case Kind.BRANCH:
                return Branch()
            case Kind.MAP if body is not None:
                return Map(
                    over=data["over"],
                    body=body,
                    concurrency=data.get("concurrency", _CONCURRENCY),
                    on_item_error=ItemErrors(data.get("on_item_error", ItemErrors.FAIL)),
                )
            case Kind.LOOP if body is not None:
                return Loop(
                    until=data["until"],
                    body=body,
                    max_rounds=data["max_rounds"],
                    at_bound=AtBound(data.get("at_bound", AtBound.FAIL)),
                )
            case Kind.WAIT:
                return self.wait(data, path)
            case _:
                return _call(kind, data)

    def body(self, data: Mapping[str, Any], path: str) -> Graph | None:
        body = data.get("body")
        if not isinstance(body, Mapping):
            return None
        self.check(body, f"{path}/body", fields.BODY, required=("nodes",))
        return self.graph(body, f"{path}/body")

    def wait(self, data: Mapping[str, Any], path: str) -> Call | None:
        given = [name for name in ("seconds", "signal") if name in data]
        if len(given) != 1:
            self.add(path, "a wait has either `seconds` or `signal`.")
            return None
        if given == ["seconds"]:
            return Call(tool=WAIT_TOOL, arguments={"seconds": data["seconds"]})
        return Call(tool=SIGNAL_TOOL, arguments={"name": data["signal"]})


def _call(kind: Kind, data: Mapping[str, Any]) -> Call:
    match kind:
        case Kind.TOOL:
            return Call(tool=data["tool"], arguments=data.get("arguments", {}))
        case Kind.APPROVAL:
            return Call(tool=APPROVAL_TOOL, arguments={"message": data["message"]})
        case _:
            return Call(tool=f"{kind}__{data[kind.value]}", arguments={"input": data["input"]})


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _needs(join: str | int) -> int | None:
    return {"all": None, "any": 1}[join] if isinstance(join, str) else join


def _unknown(name: str, known: Mapping[str, Schema]) -> str:
    names = ", ".join(known)
    return f"there is no field {as_text(name)!r} here.{_close(name, known)} Fields: {names}."


def _close(name: str, known: Any) -> str:
    found = get_close_matches(name, [str(one) for one in known], n=1)
    return f" Did you mean `{found[0]}`?" if found else ""
