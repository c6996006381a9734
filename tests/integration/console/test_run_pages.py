"""A run's page beside other runs and other waits: each is one row that says what it was."""

import json
import re
from typing import Any

from django.test import Client

from octavo.kernel import ids
from tests import runs
from tests.runs import Bench


def page_of(admin: Client, run_id: Any, path: str = "") -> str:
    answer = admin.get(f"/runs/{ids.encode(ids.Kind.RUN, run_id)}{path}")
    html: str = answer.content.decode()
    assert answer.status_code == 200, html[:2000]
    return html


def rows_in(html: str) -> list[str]:
    return re.findall(r'class="name" data-kind="\w+">.*?<span>(.*?)</span>', html)


def test_a_run_and_the_run_it_started_lead_to_each_other(admin: Client, bench: Bench) -> None:
    from apps.orchestration import selectors

    runs.save(bench.scope, "scout", tools=("box_look",))
    runs.save(bench.scope, "boss", tools=("agent__scout",))
    call = ["agent__scout", {"input": json.dumps({"answer": "found it"})}]
    parent = runs.start(bench.scope, "boss", calls=[call], answer="reported")
    runs.advance(bench.scope, parent.id)
    waiting = selectors.get_run(scope=bench.scope, run_id=parent.id).waiting_on
    assert waiting is not None
    child = ids.decode(ids.Kind.RUN, waiting.id)
    html = page_of(admin, parent.id)
    assert f'href="/runs/{waiting.id}"' in html
    assert ids.encode(ids.Kind.RUN, parent.id) in page_of(admin, child)
    runs.advance(bench.scope, child)
    runs.advance(bench.scope, parent.id)
    html = page_of(admin, parent.id)
    assert rows_in(html) == ["boss", "plan", "scout", "answer"]
    anchor = re.search(r'id="(s\d+)"[^>]*data-kind="agent" data-depth="1"', html)
    assert anchor is not None
    opened = page_of(admin, parent.id, f"/steps/{anchor[1]}")
    assert "Open the run of scout" in opened
    assert "found it" in opened


def test_a_run_that_was_handed_over_shows_who_answered(admin: Client, bench: Bench) -> None:
    from apps.orchestration import selectors

    runs.save(bench.scope, "scout", tools=())
    runs.save(bench.scope, "desk", tools=("handoff__scout",))
    bench.chat.script = {"calls": [["handoff__scout", {"why": "It knows the shop."}]]}
    parent = runs.start(bench.scope, "desk")
    runs.advance(bench.scope, parent.id)
    waiting = selectors.get_run(scope=bench.scope, run_id=parent.id).waiting_on
    assert waiting is not None
    bench.chat.script = {"answer": "Bread and salt."}
    runs.advance(bench.scope, ids.decode(ids.Kind.RUN, waiting.id))
    runs.advance(bench.scope, parent.id)
    html = page_of(admin, parent.id)
    assert rows_in(html) == ["desk", "plan", "hand over to scout"]
    assert "The agent scout took over" in html
    assert f'href="/runs/{waiting.id}"' in html
    anchor = re.search(r'id="(s\d+)"[^>]*data-kind="agent" data-depth="1"', html)
    assert anchor is not None
    opened = page_of(admin, parent.id, f"/steps/{anchor[1]}")
    for shown in (
        "Handed over to scout",
        "Open the run of scout",
        "It knows the shop.",
        "Bread and",
    ):
        assert shown in opened
    form = admin.get("/agents/desk/edit").content.decode()
    assert 'value="handoff__scout" checked' in form
    assert 'value="agent__scout">' in form
    assert "handoff__desk" not in form


def test_a_question_to_a_person_is_one_row_with_its_answer(admin: Client, bench: Bench) -> None:
    runs.save(bench.scope, "asker", tools=("ask_person", "wait"))
    call = ["ask_person", {"question": "Blue or green?"}]
    run = runs.start(bench.scope, "asker", calls=[call], answer="green then")
    runs.advance(bench.scope, run.id)
    page = f"/runs/{ids.encode(ids.Kind.RUN, run.id)}"
    assert "Blue or green?" in page_of(admin, run.id)
    assert admin.post(f"{page}/answer", {"content": "Green."}).status_code == 302
    runs.advance(bench.scope, run.id)
    html = page_of(admin, run.id)
    assert rows_in(html) == ["asker", "plan", "ask a person", "answer"]
    assert "answered by" in html


def test_a_wait_for_the_clock_says_until_when(admin: Client, bench: Bench) -> None:
    runs.save(bench.scope, "patient", tools=("wait",))
    run = runs.start(bench.scope, "patient", calls=[["wait", {"seconds": 3600}]], answer="over")
    runs.advance(bench.scope, run.id)
    html = page_of(admin, run.id)
    assert "Waiting for the clock" in html
    assert rows_in(html) == ["patient", "plan", "wait"]
    assert "UTC" in html


def test_a_step_opens_by_the_name_that_what_it_wrote_has_kept(admin: Client, bench: Bench) -> None:
    runs.save(bench.scope, "bee", tools=("box_look",))
    run = runs.start(bench.scope, "bee", calls=[["box_look", {"n": 7}]], answer="seen")
    runs.advance(bench.scope, run.id)
    html = page_of(admin, run.id, "?step=tools.1.0")
    opened = re.search(r'data-opened="(s\d+)"', html)
    assert opened is not None
    assert f'data-anchor="{opened[1]}"' in html
    assert 'data-opened=""' in page_of(admin, run.id, "?step=episode")
