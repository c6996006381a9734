"""The console: signing in, asking, and reading a run without JavaScript."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from tests.integration.inference.upstream import Upstream, running

HOST = {"Host": "localhost"}


@pytest.fixture
def browser() -> Client:
    return Client(headers=HOST, enforce_csrf_checks=True, raise_request_exception=False)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running() as server:
        yield server


@pytest.fixture
def guide(installation: Any, upstream: Upstream) -> Any:
    """An agent `guide` on a scripted model."""
    from apps.agents.services import definitions
    from apps.agents.types import Definition, Strategy
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, ProviderKind

    scope = installation.scope
    services.create_provider(
        scope=scope, name="lab", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=upstream.url
    )
    services.set_route(scope=scope, name="default", kind=ModelKind.CHAT, targets=[("lab", "chat")])
    definition = Definition(instructions="Answer.", strategy=Strategy.TOOLS)
    return definitions.save_agent(scope=scope, name="guide", definition=definition, create=True)


def token_in(page: Any) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())
    assert found is not None
    return found[1]


def submit(browser: Client, form: str, action: str, **fields: str) -> Any:
    token = token_in(browser.get(form))
    return browser.post(action, {**fields, "csrfmiddlewaretoken": token})


def sign_in(browser: Client, installation: Any) -> None:
    from apps.accounts import services

    link = services.issue_login_link(email=installation.admin_email)
    done = submit(browser, link, link)
    assert (done.status_code, done["Location"]) == (302, "/")


def test_a_stranger_is_sent_to_sign_in_and_back(browser: Client, installation: Any) -> None:
    answer = browser.get("/runs/run_x?a=1")
    assert answer["Location"] == "/login?next=/runs/run_x%3Fa%3D1"
    assert browser.get("/login").status_code == 200


def test_a_login_link_signs_in_once_and_only_by_a_press(browser: Client, installation: Any) -> None:
    from apps.accounts import services

    link = services.issue_login_link(email=installation.admin_email)
    assert browser.get(link).status_code == 200
    assert browser.get("/").status_code == 302
    assert submit(browser, link, link).status_code == 302
    assert browser.get("/").status_code == 200
    other = Client(headers=HOST)
    spent = other.post(link)
    assert spent.status_code == 401
    assert "was used" in spent.content.decode()


def test_a_password_signs_in_and_a_wrong_one_does_not(browser: Client, db: Any) -> None:
    from apps.accounts.services import bootstrap_installation

    bootstrap_installation(admin_email="ada@example.test", admin_password="correct horse battery")
    wrong = submit(browser, "/login", "/login", email="ada@example.test", password="no")
    assert wrong.status_code == 422
    assert "wrong" in wrong.content.decode()
    right = submit(
        browser,
        "/login",
        "/login",
        email="Ada@Example.test",
        password="correct horse battery",
        next="//evil.example/",
    )
    assert (right.status_code, right["Location"]) == (302, "/")
    assert submit(browser, "/", "/logout").status_code == 302
    assert browser.get("/").status_code == 302


def test_an_address_that_nobody_can_have_is_refused_in_place(
    browser: Client, installation: Any
) -> None:
    answer = submit(browser, "/login", "/login", email="admin\0@example.test", password="no")
    assert answer.status_code == 422
    assert "wrong" in answer.content.decode()


def test_guessing_passwords_is_told_to_wait(browser: Client, installation: Any) -> None:
    from apps.accounts.attempts import MOST_FOR_ACCOUNT

    guess = {"email": "nobody@example.test", "password": "no"}
    for _ in range(MOST_FOR_ACCOUNT):
        assert submit(browser, "/login", "/login", **guess).status_code == 422
    answer = submit(browser, "/login", "/login", **guess)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 15 * 60
    assert "Too many attempts" in answer.content.decode()


def test_a_question_becomes_a_run_whose_page_shows_steps_and_answer(
    browser: Client, installation: Any, guide: Any
) -> None:
    from apps.orchestration.services import engine
    from octavo.kernel import ids

    sign_in(browser, installation)
    empty = browser.get("/").content.decode()
    assert "No run yet" in empty
    asked = submit(browser, "/", "/ask", agent="guide", question="What is <b>Octavo</b>?")
    page = asked["Location"]
    assert "Queued" in browser.get(page).content.decode()
    run_id = page.rsplit("/", 1)[1]
    engine.advance(run_id=str(ids.decode(ids.Kind.RUN, run_id)))
    done = browser.get(page).content.decode()
    assert "Succeeded" in done
    assert "Hello from upstream." in done
    assert "What is &lt;b&gt;Octavo&lt;/b&gt;?" in done
    assert done.count('class="step"') == 2
    assert "Policy trace" in browser.get(f"{page}?step=s2").content.decode()
    part = browser.get(f"{page}/steps/s2").content.decode()
    assert "Policy trace" in part
    assert "<html" not in part
    assert browser.get(f"{page}/steps/s9").status_code == 404
    assert run_id in browser.get("/runs").content.decode()


def test_a_run_is_cancelled_from_its_page(browser: Client, installation: Any, guide: Any) -> None:
    sign_in(browser, installation)
    page = submit(browser, "/", "/ask", agent="guide", question="Hello?")["Location"]
    assert submit(browser, page, f"{page}/cancel").status_code == 302


def test_an_empty_question_is_refused_in_place(
    browser: Client, installation: Any, guide: Any
) -> None:
    sign_in(browser, installation)
    assert submit(browser, "/ask", "/ask", agent="guide", question=" ").status_code == 422


def test_runs_are_found_by_what_the_address_says(
    browser: Client, installation: Any, guide: Any
) -> None:
    sign_in(browser, installation)
    for question in ("Where is the tea?", "Where is the coffee?"):
        submit(browser, "/", "/ask", agent="guide", question=question)
    found = browser.get("/runs?q=TEA&status=queued&agent=guide&span=hour").content.decode()
    assert "Where is the tea?" in found
    assert "coffee" not in found
    assert "No run fits" in browser.get("/runs?status=failed").content.decode()
    assert browser.get("/runs?status=nonsense&before=%00&span=x&q=%00").status_code == 200
    newest = re.search(r"after=(run_\w+)", browser.get("/runs").content.decode())
    assert newest is not None
    submit(browser, "/", "/ask", agent="guide", question="A third?")
    assert "1 new" in browser.get(f"/runs/fresh?after={newest[1]}").content.decode()


@pytest.mark.parametrize("path", ["/runs/run_nope", "/runs/run_01h455vb4pex5vsknk084sn02q", "/no"])
def test_what_is_not_there_is_a_page_that_says_so(
    browser: Client, installation: Any, path: str
) -> None:
    sign_in(browser, installation)
    answer = browser.get(path)
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_a_form_without_its_token_is_refused(browser: Client, installation: Any) -> None:
    sign_in(browser, installation)
    answer = browser.post("/ask", {"question": "x"})
    assert answer.status_code == 403
    assert "Reload the page" in answer.content.decode()


def test_a_session_reads_the_api_and_writes_with_its_token_only(
    browser: Client, installation: Any, guide: Any
) -> None:
    sign_in(browser, installation)
    assert browser.get("/api/v1/agents").status_code == 200
    body = {"agent": "guide", "input": "Hello?"}
    refused = browser.post("/api/v1/runs", body, content_type="application/json")
    assert refused.status_code == 403
    assert refused["Content-Type"] == "application/problem+json"
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    done = browser.post(
        "/api/v1/runs", body, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert done.status_code == 201


def test_pages_allow_no_script_but_their_own(browser: Client, installation: Any) -> None:
    for page in (browser.get("/login"), browser.get("/no-such-page")):
        policy = page["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "<script>" not in page.content.decode()
        assert " style=" not in page.content.decode()
