"""Every refusal is a problem that names the thing and keeps secrets."""

import logging

import orjson
import pytest
from django.core.exceptions import RequestDataTooBig
from django.db import DataError, OperationalError
from rest_framework.exceptions import ValidationError

from apps.api import problems
from apps.api.rest.errors import invalid_input
from octavo.kernel.errors import BudgetExceeded, Conflict, Forbidden, Unauthenticated


def test_refusals_carry_what_their_protocol_asks_for() -> None:
    limited = problems.of_exception(BudgetExceeded("Too much.", retry_after=0))
    assert (limited.status, limited.headers["Retry-After"]) == (429, "1")
    stranger = problems.of_exception(Unauthenticated("Who?"))
    assert stranger.headers["WWW-Authenticate"].startswith("Bearer")
    refused = problems.of_exception(Forbidden("No.", policies=["role-viewer"])).body()
    assert refused["policies"] == ["role-viewer"]
    stale = problems.of_exception(Conflict("Stale.", head=7)).body()
    assert stale["head"] == 7


def test_the_response_is_problem_json() -> None:
    response = problems.of_exception(Conflict("Taken.")).response()
    assert response["Content-Type"] == "application/problem+json"
    body = orjson.loads(response.content)
    assert body["type"] == "urn:octavo:problem:conflict"
    assert set(body) >= {"type", "title", "status", "detail", "errors"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestDataTooBig(), 413),
        (OperationalError("gone"), 503),
        (DataError("bad"), 422),
        (TimeoutError("slow"), 503),
    ],
)
def test_what_django_raises_has_its_own_status(error: Exception, status: int) -> None:
    assert problems.of_exception(error).status == status


def test_the_unforeseen_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        body = problems.of_exception(RuntimeError("the password is hunter2")).body()
    assert body["status"] == 500
    assert "hunter2" not in str(body)
    assert body["incident"] in caplog.text


def test_each_wrong_field_has_its_pointer() -> None:
    error = invalid_input(
        ValidationError({"limits": {"max_steps": ["Too small."]}, "spaces": [{}, {"a/b": ["No."]}]})
    )
    assert [item["path"] for item in error.errors] == ["/limits/max_steps", "/spaces/1/a~1b"]
    assert "/limits/max_steps" in error.detail
