"""Workflows over REST: saved in JSON and YAML, checked with positions, run, and listed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

YAML = "application/yaml"
SMALL = """\
name: small
description: Look once.  # and say so
nodes:
  - {id: list, kind: tool, tool: context_list, arguments: {space: "{{ input.space }}"}}
"""


def documented() -> str:
    text = (Path(__file__).parents[3] / "docs/workflows.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_a_workflow_travels_as_yaml_and_keeps_its_comments(api: Any, models: Any) -> None:
    made = api.request("POST", "workflows", SMALL.encode(), content_type=YAML)
    assert (made.status, made.body["name"], made.body["version"]) == (201, "small", 1)
    assert made.body["id"].startswith("wfl_")
    assert made.body["description"] == "Look once."
    text = api._client.get(
        "/api/v1/workflows/small", headers={**api._headers, "Accept": YAML}
    ).content.decode()
    assert text == SMALL

    changed = api.put("workflows/small", {"definition": made.body["definition"]})
    assert (changed.status, changed.body["version"]) == (200, 2)
    versions = api.get("workflows/small/versions").body["items"]
    assert [item["version"] for item in versions] == [2, 1]
    assert api.get("workflows/small?version=1").body["version"] == 1
    assert [item["name"] for item in api.get("workflows").body["items"]] == ["small"]

    again = api.request("POST", "workflows", SMALL.encode(), content_type=YAML)
    assert again.problem()["head"] == 2
    other = api.request(
        "PUT", "workflows/small", SMALL.replace("small", "other").encode(), content_type=YAML
    )
    assert other.problem()["errors"][0]["path"] == "/name"
    assert api.put("workflows/nobody", {"definition": {}}).problem()["status"] == 404


def test_problems_have_positions_in_text_and_paths_in_json(api: Any, models: Any) -> None:
    wrong = SMALL.replace("context_list", "context_lst")
    found = api.post("workflows/validate", {"definition": wrong}).body
    assert found["valid"] is False
    (problem,) = found["problems"]
    assert (problem["line"], problem["column"]) == (4, 34)
    assert problem["path"] == "/nodes/0/tool"
    refused = api.request("POST", "workflows", wrong.encode(), content_type=YAML).problem()
    assert refused["errors"][0]["line"] == 4
    body = {"name": "x", "definition": {"nodes": [{"id": "a", "kind": "agnt"}]}}
    (error,) = api.post("workflows", body).problem()["errors"]
    assert error["path"] == "/definition/nodes/0/kind"
    assert "Did you mean `agent`?" in error["detail"]
    assert api.post("workflows/validate", {"definition": SMALL}).body["valid"] is True
    for text in ("", "[1, 2]", "a: [", "nodes: !!python/object:os.system x", "&a [*a]", "\0"):
        assert api.post("workflows/validate", {"definition": text}).status in {200, 422}


def test_the_workflow_of_the_documentation_can_be_saved(api: Any, models: Any) -> None:
    api.post("agents", {"name": "guide", "instructions": "Answer briefly."})
    found = api.request("POST", "workflows", documented().encode(), content_type=YAML)
    assert found.status == 201, found.body


def test_a_run_is_of_an_agent_or_of_a_workflow(
    api: Any, models: Any, advance: Callable[[str], None]
) -> None:
    api.post("spaces", {"name": "notes-of-mine"})
    api.request("POST", "workflows", SMALL.encode(), content_type=YAML)
    for body in ({}, {"agent": "clerk", "workflow": "small"}):
        problem = api.post("runs", {**body, "input": "x"}).problem()
        assert problem["errors"][0]["path"] == "/agent"
    assert api.post("runs", {"workflow": "none", "input": "x"}).problem()["status"] == 404
    started = api.post("runs", {"workflow": "small", "input": {"space": "notes-of-mine"}})
    assert started.status == 201
    assert (started.body["workflow"], started.body["agent"]) == ("small", None)
    advance(started.body["id"])
    done = api.get(f"runs/{started.body['id']}").body
    assert done["status"] == "succeeded", done["error"]
    items = api.get("runs?workflow=small").body["items"]
    assert [item["id"] for item in items] == [done["id"]]
    assert api.get("runs?workflow=other").body["items"] == []
