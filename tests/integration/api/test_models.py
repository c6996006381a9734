"""Providers, models and routes over REST: changed and deleted, looked at, and never a key shown."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.integration.api.conftest import Api
from tests.integration.inference.upstream import Upstream, error, json_answer

KEY = "sk-registry-over-rest-0123456789"
GPU = {"name": "gpu", "kind": "vllm", "base_url": "http://127.0.0.1:9/v1"}
METRICS = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="chat"} 3.0
vllm:num_requests_running{engine="1",model_name="chat"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="chat"} 7.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="chat"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="chat"} 0.5
# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{engine="0",model_name="chat"} 200.0
# TYPE vllm:prefix_cache_hits counter
vllm:prefix_cache_hits_total{engine="0",model_name="chat"} 50.0
"""


def path_of(model: Any) -> str:
    return f"models/{model['id']}"


@pytest.fixture
def gpu(api: Api) -> Any:
    """A provider with one model that no route uses."""
    assert api.post("models/providers", GPU).status == 201
    return api.post("models", {"provider": "gpu", "name": "Qwen/Qwen3-8B", "kind": "chat"}).body


def test_a_provider_is_read_changed_and_deleted_with_its_models(api: Api, gpu: Any) -> None:
    changed = api.put("models/providers/gpu", {"base_url": "http://127.0.0.1:10"})
    assert (changed.status, changed.body["base_url"]) == (200, "http://127.0.0.1:10/v1")
    assert api.get("models/providers/gpu").body == changed.body
    assert api.delete("models/providers/gpu").status == 204
    assert api.get("models/providers/gpu").status == 404
    assert api.get(path_of(gpu)).status == 404


def test_a_stored_key_never_follows_a_provider_to_another_address(api: Api, gpu: Any) -> None:
    kept = api.put("models/providers/gpu", {"api_key": KEY})
    assert kept.body["has_api_key"] is True
    assert KEY not in str(kept.body)
    moved = api.put("models/providers/gpu", {"base_url": "http://127.0.0.1:66/v1"})
    assert moved.status == 422
    assert moved.problem()["errors"][0]["path"] == "/api_key"
    assert api.get("models/providers/gpu").body["base_url"] == GPU["base_url"]
    dropped = api.put("models/providers/gpu", {"base_url": "http://127.0.0.1:66/v1", "api_key": ""})
    assert (dropped.status, dropped.body["has_api_key"]) == (200, False)


def test_a_model_is_read_changed_and_deleted_by_its_id(api: Api, gpu: Any) -> None:
    assert api.get(path_of(gpu)).body == gpu
    changed = api.put(path_of(gpu), {"price": {"input": "1.5", "output": "2"}})
    assert changed.status == 200
    assert changed.body == {**gpu, "price": {"input": "1.5", "output": "2"}}
    assert api.delete(path_of(gpu)).status == 204
    assert api.get(path_of(gpu)).status == 404


def test_a_route_is_read_changed_and_deleted_but_for_those_that_every_project_needs(
    api: Api, models: Upstream, gpu: Any
) -> None:
    target = {"provider": "gpu", "model": gpu["name"]}
    assert api.put("models/routes/fast", {"targets": [target]}).status == 404
    made = api.post("models/routes", {"name": "fast", "targets": [target]}).body
    both = {"targets": [{"provider": "lab", "model": "chat"}, target]}
    changed = api.put("models/routes/fast", both)
    assert (changed.status, changed.body["id"]) == (200, made["id"])
    assert [t["provider"] for t in changed.body["targets"]] == ["lab", "gpu"]
    assert api.get("models/routes/fast").body == changed.body
    assert api.delete("models/routes/fast").status == 204
    assert api.get("models/routes/fast").status == 404
    assert "Point it at other models" in api.delete("models/routes/default").problem()["detail"]
    assert api.put("models/routes/default", both).status == 200


def test_a_route_keeps_its_kind_when_it_is_pointed_elsewhere(api: Api, gpu: Any) -> None:
    vectors = {"provider": "gpu", "name": "vectors", "kind": "embedding"}
    assert api.post("models", vectors).status == 201
    target = {"provider": "gpu", "model": "vectors"}
    made = api.post("models/routes", {"name": "v", "kind": "embedding", "targets": [target]})
    assert made.status == 201
    again = api.put("models/routes/v", {"targets": [target]})
    assert (again.status, again.body["kind"]) == (200, "embedding")
    wrong = {"targets": [{"provider": "gpu", "model": gpu["name"]}]}
    assert api.put("models/routes/v", wrong).status == 422


def test_what_a_route_leads_to_cannot_be_deleted(api: Api, gpu: Any) -> None:
    target = {"provider": "gpu", "model": gpu["name"]}
    api.post("models/routes", {"name": "fast", "targets": [target]})
    for path in ("models/providers/gpu", path_of(gpu)):
        refused = api.delete(path)
        assert refused.status == 409
        assert "`fast`" in refused.problem()["detail"]
    api.delete("models/routes/fast")
    assert api.delete(path_of(gpu)).status == 204


def test_only_who_manages_models_changes_or_sees_providers(
    api: Api, gpu: Any, with_key: Callable[[str], Api]
) -> None:
    service = api.post("services", {"name": "ci", "role": "member"}).body
    issued = api.post("keys", {"name": "ci", "principal": service["id"], "scopes": ["*"]})
    member = with_key(issued.body["key"])
    answers = [
        member.get("models/providers/gpu"),
        member.get("models/providers/gpu/health"),
        member.put("models/providers/gpu", {"api_key": KEY}),
        member.delete("models/providers/gpu"),
        member.put(path_of(gpu), {"tier": "starter"}),
        member.delete(path_of(gpu)),
        member.delete("models/routes/nope"),
    ]
    assert [answer.status for answer in answers] == [403] * len(answers)
    assert member.get(path_of(gpu)).status == 200


def test_the_health_of_a_vllm_server_is_its_models_version_and_load(
    api: Api, upstream: Upstream
) -> None:
    async def vllm(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        if request.path == "/metrics":
            return web.Response(text=METRICS)
        if request.path == "/version":
            return web.json_response({"version": "0.32.0"})
        return web.json_response({"data": [{"id": "chat"}]})

    upstream.script.extend([vllm] * 3)
    api.post("models/providers", GPU | {"base_url": upstream.url, "api_key": KEY})
    answer = api.get("models/providers/gpu/health")
    assert (answer.status, answer.body["answers"], answer.body["problem"]) == (200, True, "")
    assert (answer.body["models"], answer.body["version"]) == (["chat"], "0.32.0")
    assert answer.body["load"] == {
        "running": 4,
        "waiting": 7,
        "kv_cache_use": 0.5,
        "prefix_hit_rate": 0.25,
    }
    with_the_key = [seen.path for seen in upstream.seen if "Authorization" in seen.headers]
    assert with_the_key == ["/v1/models"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (error(401, "bad key"), "it asks for an API key (HTTP 401)"),
        (error(500, "oh"), "answers HTTP 500"),
        (json_answer({"data": "odd"}), ""),
    ],
)
def test_the_health_of_a_provider_says_why_it_is_of_no_use(
    api: Api, upstream: Upstream, answer: Any, problem: str
) -> None:
    upstream.script.append(answer)
    body = {"name": "lab", "kind": "openai_compatible", "base_url": upstream.url}
    api.post("models/providers", body)
    health = api.get("models/providers/lab/health")
    assert health.status == 200
    assert problem in health.body["problem"]
    assert (health.body["answers"], health.body["load"]) == (not problem, None)


def test_a_provider_that_is_not_there_is_said_to_be_so(api: Api, gpu: Any) -> None:
    health = api.get("models/providers/gpu/health")
    assert (health.status, health.body["answers"]) == (200, False)
    assert "127.0.0.1" in health.body["problem"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "models/mdl_nothing", None, 404),
        ("PUT", "models/mdl_nothing", {}, 404),
        ("DELETE", "models/mdl_nothing", None, 404),
        ("GET", "models/mdl_01h455vb4pex5vsknk084sn02q", None, 404),
        ("DELETE", "models/mdl_01h455vb4pex5vsknk084sn02q", None, 404),
        ("PUT", "models/providers/nope", {"api_key": ""}, 404),
        ("DELETE", "models/providers/nope", None, 404),
        ("GET", "models/providers/nope/health", None, 404),
        ("PUT", "models/providers/gpu", {"kind": "openai"}, 422),
        ("PUT", "models/providers/gpu", {"base_url": "ftp://x"}, 422),
        ("PUT", "models/providers/gpu", {"base_url": None}, 422),
        ("PUT", "models/routes/default", {}, 422),
        ("PUT", "models/routes/default", {"targets": []}, 422),
        ("DELETE", "models/routes/nope", None, 404),
    ],
)
def test_bad_requests_are_refused_in_words(
    api: Api, gpu: Any, method: str, path: str, body: Any, status: int
) -> None:
    answer = api.request(method, path, body)
    assert answer.status == status, answer.body
    assert answer.problem()["detail"]
