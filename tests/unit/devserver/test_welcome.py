"""The welcome can be copied from; restarts slow down."""

import io
from typing import Any

from octavo.devserver.children import explain, next_delay
from octavo.devserver.welcome import print_welcome

BOOTSTRAP: dict[str, Any] = {
    "login_url": "/login/" + "t" * 90,
    "api_key": "oct_" + "k" * 90,
    "admin_email": "admin@localhost",
    "model": {"name": "smollm2", "tier": "starter", "source": "built in", "hint": "add one"},
}


def welcome(**changes: Any) -> str:
    stream = io.StringIO()
    problems = changes.pop("problems", [])
    print_welcome(
        stream, url="http://127.0.0.1:8000", bootstrap=BOOTSTRAP | changes, problems=problems
    )
    return stream.getvalue()


def test_links_and_keys_stand_on_one_line_whole() -> None:
    shown = welcome()
    assert f"http://127.0.0.1:8000{BOOTSTRAP['login_url']}\n" in shown
    assert f"Authorization: Bearer {BOOTSTRAP['api_key']}" in shown


def test_a_key_made_earlier_is_not_shown_again() -> None:
    shown = welcome(api_key=None)
    assert "(created earlier)" in shown
    assert "Bearer $OCTAVO_KEY" in shown


def test_a_starter_model_is_named_as_one_with_the_way_out() -> None:
    shown = welcome()
    assert "smollm2, starter model (built in)" in shown
    assert "add one" in shown


def test_problems_are_in_the_block() -> None:
    assert "Attention       no tokenizer" in welcome(problems=["no tokenizer"])


def test_what_bootstrap_does_not_say_is_left_out() -> None:
    shown = welcome(model=None, login_url=None)
    assert "Model" not in shown
    assert "Sign in" not in shown


def test_restarts_come_later_each_time_up_to_half_a_minute() -> None:
    delays = [0.0]
    while delays[-1] < 30:
        delays.append(next_delay(delays[-1], ran_for=1))
    assert delays == [0, 0.5, 1, 2, 4, 8, 16, 30]
    assert next_delay(30, ran_for=61) == 0.5


def test_an_exit_status_is_said_in_words() -> None:
    assert [explain(s) for s in (3, -9, -200)] == ["exit status 3", "SIGKILL", "signal 200"]
