"""One record is one line, and carries the run it belongs to."""

import logging
import sys

import orjson
import pytest

from octavo.kernel.logs import JsonFormatter, TextFormatter, bound


def record(message: str, *args: object, failed: bool = False) -> logging.LogRecord:
    problem = None
    if failed:
        try:
            raise ValueError("boom")
        except ValueError:
            problem = sys.exc_info()
    return logging.LogRecord("octavo.x", logging.INFO, __file__, 1, message, args, problem)


def test_values_that_are_bound_stand_in_every_record_inside() -> None:
    with bound(run_id="run_1"), bound(trace_id="abc"):
        text = TextFormatter().format(record("Step %s done.", 3))
        fields = orjson.loads(JsonFormatter().format(record("Step %s done.", 3)))
    assert text.endswith("info octavo.x: Step 3 done. run_id=run_1 trace_id=abc")
    assert fields["message"] == "Step 3 done."
    assert (fields["run_id"], fields["trace_id"]) == ("run_1", "abc")


def test_values_are_forgotten_when_the_block_ends() -> None:
    with bound(run_id="run_1"):
        pass
    assert "run_1" not in TextFormatter().format(record("x"))


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_line_break_in_a_message_makes_no_second_record(formatter: logging.Formatter) -> None:
    assert len(formatter.format(record("one\nINFO forged\r\ntwo")).splitlines()) == 1


def test_a_file_name_that_is_not_utf_8_can_be_logged_as_json() -> None:
    name = b"caf\xe9.txt".decode("utf-8", "surrogateescape")
    fields = orjson.loads(JsonFormatter().format(record("Cannot read %s.", name)))
    assert fields["message"] == "Cannot read caf\\udce9.txt."


def test_an_exception_is_part_of_its_record() -> None:
    fields = orjson.loads(JsonFormatter().format(record("Failed.", failed=True)))
    assert "ValueError: boom" in fields["exception"]
    assert "ValueError: boom" in TextFormatter().format(record("Failed.", failed=True))
