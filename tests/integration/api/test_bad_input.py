"""Whatever is sent, the answer is a problem that says what to do; never a 500, never HTML."""

from typing import Any

import pytest

RUN = {"agent": "clerk", "input": "x"}
GONE = "run_01h455vb4pex5vsknk084sn02q"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "runs", {"agent": "nobody", "input": "x"}, 404),
        ("POST", "runs", b'{"agent": ', 400),
        ("POST", "runs", b"", 422),
        ("POST", "runs", b"[]", 422),
        ("POST", "runs", b"\xff", 400),
        ("POST", "runs", {"agent": "clerk"}, 422),
        ("POST", "runs", RUN | {"input": 3}, 422),
        ("POST", "runs", RUN | {"input": "  "}, 422),
        ("POST", "runs", RUN | {"inputs": "x"}, 422),
        ("POST", "runs", RUN | {"wait_seconds": 61}, 422),
        ("POST", "runs", RUN | {"budget_usd": "lots"}, 422),
        ("POST", "runs", RUN | {"budget_usd": -1}, 422),
        ("POST", "runs", RUN | {"version": 99}, 404),
        ("POST", "runs", RUN | {"version": 10**12}, 422),
        ("POST", "runs", RUN | {"budget_usd": "1000000000"}, 422),
        ("POST", "runs", RUN | {"metadata": []}, 422),
        ("POST", "runs", RUN | {"metadata": {"n": 1e30}}, 422),
        ("POST", "runs", RUN | {"input": {"n": 1e30}}, 422),
        ("POST", "runs", RUN | {"input": "\0"}, 422),
        ("POST", "runs", RUN | {"agent": "cl\0erk"}, 422),
        ("GET", f"runs/{GONE}", None, 404),
        ("GET", "runs/run_what", None, 404),
        ("GET", f"runs/{GONE}/journal", None, 404),
        ("GET", f"runs/{GONE}/events", None, 404),
        ("POST", f"runs/{GONE}/cancel", {}, 404),
        ("POST", f"runs/{GONE}/effects/s1/resolve", {"outcome": "happened"}, 404),
        ("GET", "runs?status=odd", None, 422),
        ("GET", "runs?limit=0", None, 422),
        ("GET", "runs?limit=many", None, 422),
        ("GET", "runs?cursor=!", None, 422),
        ("GET", "runs?from=yesterday", None, 422),
        ("GET", "runs?odd=1", None, 422),
        ("GET", "runs?agent=%00", None, 422),
        ("GET", f"runs/{GONE}/journal?cursor=x", None, 422),
        ("DELETE", "runs", None, 405),
        ("POST", f"runs/{GONE}/events", {}, 405),
        ("POST", "openapi.json", {}, 405),
        ("POST", "docs", {}, 405),
        ("GET", "tools?limit=0", None, 422),
        ("GET", "agents/nobody", None, 404),
        ("GET", "agents/%00", None, 404),
        ("GET", "agents/clerk?version=0", None, 422),
        ("POST", "agents", {"name": "Bad Name!", "instructions": "x"}, 422),
        ("POST", "agents", {"name": "a", "instructions": "x", "route": "nowhere"}, 422),
        ("POST", "agents", {"name": "a", "instructions": "x", "spaces": [{"space": "no"}]}, 422),
        ("POST", "agents", {"name": "a", "instructions": "x", "spaces": "no"}, 422),
        ("POST", "agents", {"name": "a", "instructions": "x", "tools": ["no_such"]}, 422),
        ("POST", "agents", {"name": "a", "instructions": "x", "limits": {"max_steps": 0}}, 422),
        ("POST", "agents", {"name": "a", "instructions": "x", "limits": {"steps": 1}}, 422),
        ("POST", "agents", {"name": "a", "instructions": "x", "output_schema": []}, 422),
        ("POST", "agents", {"name": "a", "instructions": "x", "output_schema": {"type": 5}}, 422),
        ("POST", "spaces", {"name": "Bad Name!"}, 422),
        ("POST", "spaces", {"name": "a", "kind": "odd"}, 422),
        ("GET", "spaces/nowhere", None, 404),
        ("GET", "spaces/nowhere/entries", None, 404),
        ("PUT", "spaces/nowhere/entries/a", {"content": "x", "why": "y"}, 404),
        ("DELETE", "spaces/nowhere/entries/a", None, 404),
        ("GET", "jobs/job_01h455vb4pex5vsknk084sn02q", None, 404),
        ("POST", "spaces/nowhere/ingest", {}, 415),
        ("POST", "context/search", {"query": "x", "spaces": ["nowhere"]}, 404),
        ("POST", "context/search", {"query": "", "spaces": ["nowhere"]}, 422),
        ("POST", "context/search", {"query": "x", "spaces": []}, 422),
        ("POST", "context/search", {"query": "x", "spaces": ["a"], "k": 1000}, 422),
        ("GET", "approvals/apr_01h455vb4pex5vsknk084sn02q", None, 404),
        ("POST", "approvals/apr_01h455vb4pex5vsknk084sn02q/decide", {"decision": "maybe"}, 422),
        ("POST", "approvals/apr_01h455vb4pex5vsknk084sn02q/decide", {"decision": "approve"}, 404),
        ("POST", "keys", {"name": "x", "scopes": ["fly"]}, 422),
        ("POST", "keys", {"name": "x", "scopes": []}, 422),
        ("POST", "keys", {"name": "x", "scopes": ["*"], "principal": "somebody"}, 422),
        ("POST", "keys", {"name": "x", "scopes": ["*"], "principal": "agent:nobody"}, 404),
        ("POST", "keys", {"name": "x", "scopes": ["*"], "expires_at": "soon"}, 422),
        ("DELETE", "keys/key_01h455vb4pex5vsknk084sn02q", None, 404),
        ("POST", "models/providers", {"name": "x", "kind": "odd"}, 422),
        ("POST", "models/providers", {"name": "x", "kind": "vllm", "base_url": "ftp://x"}, 422),
        ("POST", "models", {"provider": "nobody", "name": "x", "kind": "chat"}, 404),
        ("POST", "models/routes", {"name": "x", "targets": []}, 422),
        ("POST", "models/routes", {"name": "x", "targets": [{"provider": "n", "model": "m"}]}, 404),
        ("GET", "traces/xyz", None, 404),
        ("GET", "traces/" + "0" * 32, None, 404),
        ("POST", "decisions", {"action": "fly", "resource": {"kind": "Project"}}, 422),
        ("POST", "decisions", {"action": "run.start", "resource": {"kind": "Space"}}, 422),
        ("GET", "nothing/here", None, 404),
        ("POST", "nothing/here", {}, 404),
    ],
)
def test_bad_input_is_a_problem(
    api: Any, agent: str, method: str, path: str, body: Any, status: int
) -> None:
    answer = api.request(method, path, body)
    assert answer.status == status, answer.body
    assert answer.problem()["detail"]


def test_wrong_fields_are_named_by_pointer(api: Any) -> None:
    problem = api.post(
        "agents",
        {"name": "a", "instructions": "x", "limits": {"max_steps": 0}, "spaces": [{"access": "x"}]},
    ).problem()
    paths = {error["path"] for error in problem["errors"]}
    assert paths == {"/limits/max_steps", "/spaces/0/space", "/spaces/0/access"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tools": ["context_open", "context_search", "context_open"]}, "/tools/2"),
        ({"tools": [f"t{n}" for n in range(101)]}, "/tools"),
        ({"spaces": [{"space": "a"}, {"space": "a", "access": "write"}]}, "/spaces/1"),
        ({"spaces": [{"space": f"s{n}"} for n in range(101)]}, "/spaces"),
        ({"limits": {"max_cost_usd": "99999999999"}}, "/limits/max_cost_usd"),
        ({"instructions": "x" * 70_000}, "/instructions"),
        ({"output_schema": {"maximum": 1e30}}, "/output_schema/maximum"),
    ],
)
def test_a_definition_is_bounded(api: Any, models: Any, body: Any, path: str) -> None:
    answer = api.post("agents", {"name": "a", "instructions": "x", **body})
    assert answer.status == 422
    assert answer.problem()["errors"][0]["path"] == path


def test_the_targets_of_a_route_are_bounded(api: Any, models: Any) -> None:
    chat = {"provider": "lab", "model": "chat"}
    twice = api.post("models/routes", {"name": "r", "targets": [chat, chat]})
    assert twice.problem()["errors"][0]["path"] == "/targets/1"
    many = [{"provider": "lab", "model": f"m{n}"} for n in range(101)]
    refused = api.post("models/routes", {"name": "r", "targets": many})
    assert refused.problem()["errors"][0]["path"] == "/targets"


def test_only_json_is_taken(api: Any, agent: str) -> None:
    answer = api.request("POST", "runs", b"agent=clerk", content_type="text/plain")
    assert answer.problem()["status"] == 415


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "nonsense"])
def test_the_answer_is_json_whatever_is_accepted(api: Any, accept: str) -> None:
    answer = api.get("agents", Accept=accept)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")


def test_a_foreign_host_is_refused_without_html(api: Any) -> None:
    assert api.get("agents", Host="evil.example").problem()["status"] == 400


@pytest.mark.parametrize(
    "header", ["", "Basic abc", "Bearer", "Bearer oct_wrong", "Bearer oct_" + "x" * 5000]
)
def test_a_wrong_key_is_refused_with_a_challenge(stranger: Any, header: str) -> None:
    answer = stranger.get("agents", **({"Authorization": header} if header else {}))
    assert answer.problem()["status"] == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_oversize_file_is_refused_by_name(api: Any, models: Any, settings_limit: int) -> None:
    api.post("spaces", {"name": "files"})
    answer = api.upload("spaces/files/ingest", [("big.txt", b"x" * (settings_limit + 1))])
    problem = answer.problem()
    assert problem["status"] == 413
    assert "big.txt" in problem["detail"]


@pytest.fixture
def settings_limit(monkeypatch: pytest.MonkeyPatch) -> int:
    from django.conf import settings

    monkeypatch.setattr(settings, "MAX_FILE_BYTES", 1000)
    return 1000


def test_unreadable_files_are_reported_one_by_one(api: Any, models: Any) -> None:
    from apps.context.services import ingestion
    from octavo.kernel import ids

    api.post("spaces", {"name": "files"})
    started = api.upload(
        "spaces/files/ingest",
        [
            ("good.md", b"# Title\n\nA good sentence about refunds."),
            ("latin.txt", b"caf\xe9 \xff\xfe\xfa"),
            ("broken.pdf", b"%PDF-1.7 nothing more"),
        ],
    )
    assert started.status == 202, started.body
    job = started.body["job"]
    ingestion.run_job(job_id=str(ids.decode(ids.Kind.JOB, job["id"])))
    done = api.get(f"jobs/{job['id']}").body
    status = {report["path"]: report["status"] for report in done["reports"]}
    assert status["good.md"] == "added"
    assert status["latin.txt"] == status["broken.pdf"] == "failed"
    assert all(report["detail"] for report in done["reports"] if report["status"] == "failed")
    assert [entry["key"] for entry in api.get("spaces/files/entries").body["items"]] == ["good.md"]
