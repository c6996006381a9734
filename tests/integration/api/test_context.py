"""Entries are written with a reason, found, read as they stood, and deleted."""

from typing import Any

import pytest

TEXT = "Refunds over $100 need a second pair of eyes. Smaller ones do not."


@pytest.fixture
def space(api: Any, models: Any) -> str:
    created = api.post("spaces", {"name": "rules"})
    assert created.status == 201, created.body
    assert created.body["id"].startswith("spc_")
    return "rules"


def write(api: Any, content: str, **more: Any) -> Any:
    return api.put(
        "spaces/rules/entries/docs/refunds.md", {"content": content, "why": "test", **more}
    )


def test_an_entry_is_written_read_and_revised(api: Any, space: str) -> None:
    first = write(api, TEXT)
    assert first.status == 200, first.body
    assert first.body["entry"].startswith("ent_")
    assert first.body["revision"] == 1
    assert write(api, TEXT).body["changed"] is False
    second = write(api, TEXT + " Since May.").body
    assert second["revision"] == 2
    path = "spaces/rules/entries/docs/refunds.md"
    assert api.get(path).body["content"].endswith("Since May.")
    assert api.get(f"{path}?as_of={first.body['seq']}").body["content"] == TEXT
    history = api.get(f"{path}/history").body["items"]
    assert [revision["revision"] for revision in history] == [2, 1]
    assert history[0]["why"] == "test"
    newest = api.get(f"{path}/history?limit=1").body
    assert newest["items"] == history[:1]
    older = api.get(f"{path}/history?limit=1&cursor={newest['next_cursor']}").body
    assert older == {"items": history[1:], "next_cursor": None}


def test_a_stale_write_is_a_conflict_that_shows_the_head(api: Any, space: str) -> None:
    write(api, TEXT)
    write(api, "Newer.")
    problem = write(api, "Older.", base_rev=1).problem()
    assert problem["status"] == 409
    assert problem["head"]


def test_search_finds_the_place(api: Any, space: str) -> None:
    write(api, TEXT)
    answer = api.post("context/search", {"query": "refunds", "spaces": ["rules"], "k": 3})
    assert answer.status == 200, answer.body
    hit = answer.body["results"][0]
    assert (hit["space"], hit["key"], hit["revision"]) == ("rules", "docs/refunds.md", 1)
    assert TEXT[hit["citation"]["start"] : hit["citation"]["end"]] == hit["text"]
    assert answer.body["as_of"] == {"rules": api.get("spaces/rules").body["seq"]}


def test_entries_are_listed_and_deleted(api: Any, space: str) -> None:
    write(api, TEXT)
    api.put("spaces/rules/entries/other", {"content": "Other.", "why": "test"})
    listed = [item["key"] for item in api.get("spaces/rules/entries").body["items"]]
    assert listed == ["other", "docs/refunds.md"]
    assert len(api.get("spaces/rules/entries?prefix=docs/").body["items"]) == 1
    assert api.delete("spaces/rules/entries/other").status == 204
    assert api.get("spaces/rules/entries/other").problem()["status"] == 404
    assert api.delete("spaces/rules/entries/docs/refunds.md?erase=true&why=law").status == 204
    assert api.get("spaces/rules/entries/docs/refunds.md/history").problem()["status"] == 404


def test_uploaded_files_keep_the_paths_they_are_given(api: Any, space: str) -> None:
    from apps.context.services import ingestion
    from octavo.kernel import ids

    started = api.upload(
        "spaces/rules/ingest", [("a.md", b"First file."), ("a.md", b"Second.")], path=["x/a", "y/a"]
    )
    assert started.status == 202, started.body
    job = started.body["job"]
    assert (job["total"], job["done"]) == (2, 0)
    ingestion.run_job(job_id=str(ids.decode(ids.Kind.JOB, job["id"])))
    keys = {item["key"] for item in api.get("spaces/rules/entries").body["items"]}
    assert keys == {"x/a", "y/a"}
    assert api.get(f"jobs/{job['id']}").body["done"] == 2


def test_an_upload_without_files_is_refused(api: Any, space: str) -> None:
    assert api.upload("spaces/rules/ingest", []).problem()["status"] == 422
    one = [("a.md", b"x")]
    assert api.upload("spaces/rules/ingest", one, path=["a", "b"]).problem()["status"] == 422


def test_an_embedding_server_that_is_down_is_named(api: Any, space: str) -> None:
    api.post("models/providers", {"name": "dead", "kind": "vllm", "base_url": "http://127.0.0.1:9"})
    target = {"provider": "dead", "model": "none"}
    api.post("models/routes", {"name": "embedding", "kind": "embedding", "targets": [target]})
    problem = write(api, TEXT).problem()
    assert problem["status"] in {502, 503}
    assert "dead" in problem["detail"]
    assert api.get("spaces/rules/entries").body["items"] == []


def test_a_space_is_compared_named_and_taken_back(api: Any, space: str) -> None:
    write(api, TEXT)
    named = api.post("spaces/rules/snapshots", {"name": "first"})
    assert (named.status, named.body["seq"]) == (201, 1)
    write(api, "Nothing is refunded.", sources=[{"url": "https://example.test/rule"}])
    path = "spaces/rules/entries/docs/refunds.md"
    diff = api.get(f"{path}/diff?from=1&to=2").body
    assert (diff["added"], diff["removed"], diff["hunks"][0]["old_start"]) == (1, 1, 1)
    assert diff["after"]["sources"] == [{"url": "https://example.test/rule"}]
    preview = api.post("spaces/rules/rollback?preview=true", {"to": "first", "why": "test"}).body
    assert (preview["preview"], preview["seq"], len(preview["changes"])) == (True, 2, 1)
    done = api.post("spaces/rules/rollback", {"to": "first", "why": "It was right."}).body
    assert (done["seq"], done["changes"][0]["kind"]) == (3, "revise")
    assert api.get(path).body["content"] == TEXT
    assert api.get(f"{path}?revision=2").body["content"] == "Nothing is refunded."
    when = api.get(f"{path}/history").body["items"][1]["created_at"]
    assert api.get(f"{path}?as_of={when}").body["content"] == "Nothing is refunded."
    changes = api.get("spaces/rules/changes?limit=2").body
    told = [(c["revision"]["seq"], c["revision"]["operation"]) for c in changes["items"]]
    assert told == [(3, "rollback"), (2, "write")]
    assert changes["items"][0]["revision"]["why"] == "It was right."
    rest = api.get(f"spaces/rules/changes?limit=2&cursor={changes['next_cursor']}").body
    assert [(c["key"], c["revisions"]) for c in rest["items"]] == [("docs/refunds.md", 1)]
    assert rest["next_cursor"] is None
    search = {"query": "refunded", "spaces": ["rules"], "as_of": 2, "mode": "lexical"}
    assert api.post("context/search", search).body["as_of"] == {"rules": 2}
    assert api.get("spaces/rules/snapshots").body["items"][0]["name"] == "first"
    assert api.delete("spaces/rules/snapshots/first").status == 204
    assert api.get(f"{path}/used-by").body == {"items": [], "next_cursor": None}


def test_a_branch_is_merged_over_http(api: Any, space: str) -> None:
    write(api, TEXT)
    branch = api.post("spaces/rules/branches", {"name": "draft"})
    assert (branch.status, branch.body["parent"]) == (201, "rules")
    api.put("spaces/draft/entries/docs/refunds.md", {"content": "Theirs.", "why": "test"})
    write(api, "Ours.")
    refused = api.post("spaces/rules/merge", {"branch": "draft", "why": "ready"}).problem()
    assert (refused["status"], refused["keys"]) == (409, ["docs/refunds.md"])
    assert refused["conflicts"][0]["theirs"] == "Theirs."
    answer = {"docs/refunds.md": {"content": "Both."}}
    body = {"branch": "draft", "why": "ready", "resolutions": answer}
    assert api.post("spaces/rules/merge", body).status == 200
    assert api.get("spaces/rules/entries/docs/refunds.md").body["content"] == "Both."
    assert [b["name"] for b in api.get("spaces/rules/branches").body["items"]] == ["draft"]


def test_a_pack_has_a_budget(api: Any, space: str) -> None:
    write(api, TEXT)
    body = {"query": "refunds", "spaces": ["rules"], "budget_tokens": 200}
    packed = api.post("context/pack", body)
    assert packed.status == 200, packed.body
    assert packed.body["citations"][0]["number"] == 1
    assert TEXT in packed.body["text"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("spaces/rules/rollback", {"to": True, "why": "x"}, 422),
        ("spaces/rules/rollback", {"to": 2**63 - 1, "why": "x"}, 422),
        ("spaces/rules/rollback", {"to": "nowhere", "why": "x"}, 404),
        ("spaces/rules/rollback", {"to": 0}, 422),
        ("spaces/rules/snapshots", {"name": "Bad Name"}, 422),
        ("spaces/rules/branches", {"name": "b", "at": "yesterday"}, 422),
        ("spaces/rules/branches", {"name": "b", "at": 99}, 422),
        ("spaces/rules/merge", {"branch": "rules", "why": "x"}, 422),
        ("spaces/rules/merge", {"branch": "b", "why": "x", "resolutions": {"k": 3}}, 422),
        ("context/search", {"query": "x", "spaces": ["rules"], "filter": {"a": 1}}, 422),
        ("context/search", {"query": "x", "spaces": ["rules"], "as_of": -1}, 422),
        ("context/pack", {"query": "x", "spaces": ["rules"], "budget_tokens": 1}, 422),
    ],
)
def test_bad_requests_about_versions_are_problems(
    api: Any, space: str, path: str, body: Any, status: int
) -> None:
    answer = api.post(path, body)
    assert answer.status == status, answer.body
    assert answer.problem()["detail"]


def test_memory_decisions_doubts_and_tidying_over_rest(api: Any, space: str) -> None:
    written = api.put("spaces/rules/memory/team", {"text": "Be brief.", "why": "w", "limit": 12})
    assert written.status == 200, written.body
    (block,) = api.get("spaces/rules/memory").body["items"]
    assert (block["name"], block["text"], block["limit"]) == ("team", "Be brief.", 12)
    too_long = api.put("spaces/rules/memory/team", {"text": "Be brief, please.", "why": "w"})
    assert too_long.problem()["errors"][0]["path"] == "/content"
    decision = {"decided": "Ship", "why": "Green.", "alternatives": [{"option": "Wait"}]}
    assert api.put("spaces/rules/decisions/ship", decision).status == 200
    assert api.get("spaces/rules/entries/decisions/ship").body["kind"] == "decision"
    for key in ("a", "b"):
        note = {"content": "Said twice.", "why": "w", "kind": "memory"}
        api.put(f"spaces/rules/entries/{key}", note)
    proposed = api.post("spaces/rules/tidy", Idempotency_Key="t")
    assert proposed.status == 200, proposed.body
    assert api.post("spaces/rules/tidy", Idempotency_Key="t").body == proposed.body
    branch = proposed.body["branch"]
    preview = api.get(f"spaces/rules/merge?branch={branch}").body
    assert [change["key"] for change in preview["changes"]] == ["a", "b"]
    merge = {"branch": branch, "why": "reviewed"}
    merged = api.post("spaces/rules/merge", merge, Idempotency_Key="m")
    assert merged.status == 200, merged.body
    assert api.post("spaces/rules/merge", merge, Idempotency_Key="m").body == merged.body
    api.put("spaces/rules/entries/b", {"content": "Changed.", "why": "w", "kind": "memory"})
    api.put(
        "spaces/rules/entries/c",
        {"content": "c", "why": "w", "sources": [{"space": "rules", "key": "b", "revision": 1}]},
    )
    flags = api.get("spaces/rules/flags").body["items"]
    assert ("c", "source_changed") in {(flag["key"], flag["kind"]) for flag in flags}
    found = {"query": "brief", "spaces": ["rules"]}
    once = api.post("context/search", found, Idempotency_Key="s")
    assert api.post("context/search", found, Idempotency_Key="s").body == once.body
    assert once.body["results"][0]["legs"]
    api.post("spaces/rules/branches", {"name": "draft"})
    assert api.post("spaces/draft/close", {"why": "no"}, Idempotency_Key="c").status == 204
    assert api.post("spaces/draft/close", {"why": "no"}, Idempotency_Key="c").status == 204
