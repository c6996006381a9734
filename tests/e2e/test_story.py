"""One story, in a real browser: from the first login to an approved refund seen in its run."""

from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.e2e.looking import looking

LOST = ("ERR_CONNECTION", "ERR_INCOMPLETE_CHUNKED")  # while the web process is killed
NOTE = "# Tea\n\nThe tea kitchen opens at seven. The tea of the house is a smoky Lapsang.\n"


def test_from_the_first_login_to_an_approved_refund(
    stage: Any, browser: Any, tmp_path: Path
) -> None:
    with looking(browser, theme="light", size="wide", forgiven=LOST) as page:
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        _sign_in(page, stage)
        _ask_the_guide(page)
        _upload(page, stage, tmp_path)
        _make_an_agent(page, stage)
        _ask_about_tea(page)
        _approve_a_refund(page, stage)


def _sign_in(page: Any, stage: Any) -> None:
    page.goto(stage.url + stage.login_path())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()


def _ask_the_guide(page: Any) -> None:
    page.get_by_label("Question").fill("How do I add my own files to a space?")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#answer")).to_contain_text("context add")
    expect(page.locator(".facts")).to_contain_text("Succeeded")
    page.locator(".step[data-kind=context]").first.click()
    expect(page.locator("#detail")).to_contain_text("Policy trace")
    assert "#s" in page.url
    page.keyboard.press("Escape")
    expect(page.locator("#overview")).to_be_visible()


def _upload(page: Any, stage: Any, folder: Path) -> None:
    page.goto(f"{stage.url}/context")
    page.get_by_label("Name").fill("kitchen")
    page.get_by_role("button", name="Create space").click()
    (folder / "tea.md").write_text(NOTE)
    page.get_by_label("Add files").set_input_files(folder / "tea.md")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#job")).to_contain_text("Added")


def _make_an_agent(page: Any, stage: Any) -> None:
    page.goto(f"{stage.url}/new/agent")
    page.get_by_label("Name", exact=True).fill("kitchen-help")
    page.get_by_label("Instructions").fill("Answer from the kitchen's notes.")
    page.get_by_label("Access to kitchen").select_option("read")
    page.get_by_role("button", name="Create agent").click()
    expect(page.get_by_role("heading", name="kitchen-help")).to_be_visible()


def _ask_about_tea(page: Any) -> None:
    page.get_by_label("Question or task").fill("When does the tea kitchen open?")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#answer")).to_contain_text("opens at seven")
    page.locator(".sources a").first.click()
    expect(page.locator("mark#cited")).to_contain_text("opens at seven")


def _approve_a_refund(page: Any, stage: Any) -> None:
    page.goto(f"{stage.url}/ask?agent=refund-agent")
    page.get_by_label("Question or task").fill("Order A-1042 arrived damaged.")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator(".ask")).to_contain_text("Not reversible")
    run = page.url
    _lose_the_web_process(page, stage)
    page.goto(f"{stage.url}/approvals")
    page.locator("summary", has_text="Edit arguments").click()
    page.get_by_label("Arguments, as JSON").fill('{"amount": "much"}')
    page.get_by_role("button", name="Approve the edited call").click()
    expect(page.get_by_role("alert")).to_contain_text("do not fit")
    page.goto(run)
    page.get_by_label("Note").fill("The photo shows it.")
    page.get_by_role("button", name="Approve A").click()
    expect(page.locator(".facts")).to_contain_text("Succeeded")
    expect(page.locator("#answer")).to_contain_text("paid back $480.00")
    expect(page.locator(".step", has_text="approve refund_issue")).to_contain_text("approved by")


def _lose_the_web_process(page: Any, stage: Any) -> None:
    stage.web.kill()
    expect(page.locator("#live")).to_have_text("Reconnecting")
    stage.start_web()
    expect(page.locator("#live")).to_have_text("Live")
