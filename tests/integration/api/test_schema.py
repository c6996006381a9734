"""The OpenAPI document describes every address there is, and the answers match it."""

import inspect
from functools import cache
from typing import Any

import jsonschema_rs
import orjson
import pytest
from django.urls import URLPattern

from apps.api.rest.base import ResourceView
from apps.api.rest.docs import document
from apps.api.rest.fields import StrictSerializer

UNDOCUMENTED = {"openapi.json", "docs", "<path:rest>"}


@cache
def schema() -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(document())
    return found


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in schema()["paths"].items()
        for method, operation in item.items()
    ]


def template(route: str) -> str:
    import re

    return "/api/v1/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route)


def test_every_address_is_documented() -> None:
    from apps.api.rest.urls import urlpatterns

    routes = {str(p.pattern) for p in urlpatterns if isinstance(p, URLPattern)} - UNDOCUMENTED
    assert {template(route) for route in routes} == set(schema()["paths"])


def test_every_method_of_every_view_is_documented() -> None:
    from apps.api.rest.urls import urlpatterns

    for pattern in urlpatterns:
        view = getattr(pattern.callback, "cls", None)
        if view is not None:
            methods = {n for n in ("get", "post", "put", "patch", "delete") if hasattr(view, n)}
            assert set(schema()["paths"][template(str(pattern.pattern))]) == methods


def test_the_document_is_openapi_3_1_with_bearer_keys() -> None:
    assert schema()["openapi"].startswith("3.1")
    assert schema()["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for _, _, operation in operations())
    known = {tag["name"] for tag in schema()["tags"]}
    assert {tag for _, _, operation in operations() for tag in operation["tags"]} == known


def test_every_reference_resolves_and_every_schema_is_valid() -> None:
    components = schema()["components"]["schemas"]
    references = [value for key, value in walk(schema()) if key == "$ref"]
    assert {ref.rsplit("/", 1)[1] for ref in references} <= set(components)
    for name, component in components.items():
        assert jsonschema_rs.meta.is_valid(component), name


def test_every_default_is_a_value_of_its_own_schema() -> None:
    seen = 0
    for shape in schemas(schema()):
        if "default" in shape:
            check(shape, shape["default"])
            seen += 1
    assert seen > 10


def schemas(node: Any) -> Any:
    """Every object of the document that says a type or refers to what says it."""
    if isinstance(node, dict):
        if {"type", "$ref", "allOf", "oneOf", "anyOf"} & set(node):
            yield node
        for value in node.values():
            yield from schemas(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas(value)


def test_no_description_is_taken_from_another_class() -> None:
    bases = {inspect.getdoc(ResourceView), inspect.getdoc(StrictSerializer)}
    owners: dict[str, str] = {}
    for name, component in schema()["components"]["schemas"].items():
        text = component.get("description")
        if text:
            assert text not in bases, name
            owner = name.removesuffix("Request")
            assert owners.setdefault(text, owner) == owner
    assert len(owners) > 10
    for method, path, operation in operations():
        text = operation.get("description", "")
        assert text not in bases | set(owners), (method, path)


def test_keys_answer_with_a_documented_status_and_shape(api: Any) -> None:
    issued = api.post("keys", {"name": "ci", "scopes": ["run.read"]})
    revoked = api.delete(f"keys/{issued.body['id']}")
    paths = schema()["paths"]
    for operation, answer in (
        (paths["/api/v1/keys"]["post"], issued),
        (paths["/api/v1/keys"]["get"], api.get("keys")),
        (paths["/api/v1/keys/{key_id}"]["delete"], revoked),
    ):
        stated = {status for status in operation["responses"] if status < "300"}
        assert stated == {str(answer.status)}
        content = operation["responses"][str(answer.status)]["content"]
        check(content["application/json"]["schema"], answer.body)


def walk(node: Any) -> Any:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from walk(value)
        else:
            yield key, value


def test_every_operation_states_its_problems() -> None:
    for method, path, operation in operations():
        problems = {
            status
            for status, response in operation["responses"].items()
            if "application/problem+json" in response.get("content", {})
        }
        assert {"401", "403", "422"} <= problems, (method, path)
        if method == "post":
            headers = {p["name"] for p in operation["parameters"] if p["in"] == "header"}
            assert "Idempotency-Key" in headers, path


def test_examples_of_requests_are_valid() -> None:
    seen = 0
    for _, path, operation in operations():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in body.get("examples", {}).values():
            check(body["schema"], example["value"])
            seen += 1
        if body and not path.endswith("/resolve"):
            assert body.get("examples"), path
    assert seen >= 10


def check(shape: dict[str, Any], value: Any) -> None:
    whole = {**shape, "components": schema()["components"]}
    jsonschema_rs.validate(whole, value)


@pytest.mark.parametrize("path", ["agents", "runs", "keys", "models", "models/routes", "tools"])
def test_answers_have_the_documented_shape(api: Any, agent: str, path: str) -> None:
    api.post("runs", {"agent": agent, "input": "Hello?"})
    responses = schema()["paths"][f"/api/v1/{path}"]["get"]["responses"]
    answer = api.get(path)
    assert answer.body["items"]
    check(responses["200"]["content"]["application/json"]["schema"], answer.body)
    refused = api.get(f"{path}?odd=1")
    if refused.status == 422:
        check(responses["422"]["content"]["application/problem+json"]["schema"], refused.problem())


def test_the_docs_page_needs_nothing_from_elsewhere(api: Any) -> None:
    from django.test import Client

    page = Client().get("/api/v1/docs", headers={"Host": "localhost"})
    html = page.content.decode()
    assert "http://" not in html
    assert "https://" not in html
    assert "<script>" not in html
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
