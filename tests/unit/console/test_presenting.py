"""What a person reads about a run: durations, money, rows in proportion, and compressed waits."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from apps.console import diffing, formatting, navigation, timeline, trees
from apps.observability.types import SpanKind
from apps.orchestration.types.runs import EventType, EventView, RunStatus, RunView
from octavo.kernel import clock

START = clock.now().replace(microsecond=0) - timedelta(hours=3)


def at(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)


def run_of(*, status: RunStatus = RunStatus.SUCCEEDED, took: float | None = 10) -> RunView:
    return RunView(
        id=UUID(int=1),
        agent="refund-agent",
        version=2,
        tool="",
        status=status,
        input="?",
        output=None,
        error=None,
        waiting_on=None,
        steps=1,
        input_tokens=0,
        output_tokens=0,
        cost_usd=Decimal(0),
        trace_id="",
        started_by="user:ada",
        session="",
        metadata={},
        parent=None,
        created_at=START,
        started_at=START,
        finished_at=None if took is None else at(took),
    )


def event(seq: int, kind: EventType, began: float, ended: float, **data: Any) -> EventView:
    return EventView(
        seq=seq,
        type=kind,
        step=data.pop("step", f"step.{seq}"),
        attempt=1,
        started_at=at(began),
        at=at(ended),
        data=data,
    )


def answered(seq: int, began: float, ended: float) -> EventView:
    usage = {"input_tokens": 1902, "output_tokens": 214, "cost_usd": "0"}
    message = {"content": "Hi", "tool_calls": []}
    return event(
        seq, EventType.MODEL_ANSWERED, began, ended, model="m", usage=usage, message=message
    )


ASKED = {"step": "tools.1.0", "tool": "pay", "policy": "big", "approval": "apr_x"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.34, "340 ms"), (2.44, "2.4 s"), (185, "3 m 05 s"), (7800, "2 h 10 m"), (-1, "0 ms")],
)
def test_durations_are_in_human_units(seconds: float, words: str) -> None:
    assert formatting.duration(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.85, "850 ms"), (3.14, "3.1 s"), (22, "22 s"), (66, "1:06"), (7800, "2 h 10")],
)
def test_ticks_are_short(seconds: float, words: str) -> None:
    assert formatting.tick(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(("usd", "words"), [("0", "$0"), ("0.0061", "$0.0061"), ("480", "$480.00")])
def test_money_has_the_digits_that_matter(usd: str, words: str) -> None:
    assert formatting.money(Decimal(usd)) == words


def test_bars_lie_in_proportion_to_time() -> None:
    drawn = timeline.draw(run_of(), [answered(2, 0, 5), answered(3, 5, 10)])
    root, first, second = drawn.rows
    assert (root.left, root.width, root.depth) == ("0.00", "100.00", 0)
    assert (first.left, first.width, first.note) == ("0.00", "50.00", "m · 1,902 → 214 tok")
    assert (second.left, second.width, second.took) == ("50.00", "50.00", "5.0 s")
    assert drawn.ticks[0] == "0 s"
    assert drawn.ticks[-1] == "10 s"


def test_a_long_wait_is_hatched_and_leaves_room_for_the_work() -> None:
    events = [
        answered(2, 0, 2),
        event(3, EventType.APPROVAL_REQUESTED, 2, 2, **ASKED),
        event(4, EventType.APPROVAL_DECIDED, 2, 3598, **ASKED, status="approved", by="ada"),
        answered(5, 3598, 3600),
    ]
    drawn = timeline.draw(run_of(took=3600), events)
    rows = {row.anchor: row for row in drawn.rows}
    assert rows["s3"].is_wait
    assert rows["s3"].note == "approved by ada"
    assert rows["s3p"].kind is SpanKind.POLICY
    assert float(rows["s2"].width) == pytest.approx(27.5, abs=0.1)
    assert float(rows["s3"].width) == pytest.approx(45, abs=0.2)
    assert drawn.ticks[-1] == "1 h 00"


def test_a_call_under_way_and_its_answer_are_one_row() -> None:
    intended = event(2, EventType.TOOL_INTENDED, 1, 1, step="t", tool="pay", arguments={})
    running = timeline.draw(run_of(status=RunStatus.RUNNING, took=None), [intended])
    assert [row.anchor for row in running.rows] == ["s1", "s2"]
    assert running.rows[1].ended_at is None
    assert running.ticks[-1] == "now"
    done = event(
        3, EventType.TOOL_ANSWERED, 1, 4, step="t", tool="pay", arguments={"n": 1}, is_error=False
    )
    rows = timeline.draw(run_of(), [intended, done]).rows
    assert [(row.anchor, row.note) for row in rows[1:]] == [("s2", "n 1")]


def test_two_texts_stand_side_by_side_without_what_stayed_the_same() -> None:
    same = "\n".join(str(number) for number in range(20))
    rows = diffing.compare(f"a\n{same}", f"b\n{same}")
    assert (rows[0].left, rows[0].right, rows[0].is_changed) == ("a", "b", True)
    assert [row.skipped for row in rows if row.skipped] == [17]
    assert diffing.compare("", "new")[0].left_number is None


def test_keys_make_folders() -> None:
    class Entry:
        def __init__(self, key: str) -> None:
            self.key = key

    root = trees.tree_of([Entry("README.md"), Entry("docs/b.md"), Entry("docs/a.md")])  # type: ignore[list-item]
    assert root.count == 3
    assert [name for name, _ in root.sorted_folders[0].sorted_entries] == ["a.md", "b.md"]


def test_a_page_below_a_place_belongs_to_it() -> None:
    assert navigation.find_current("/runs/run_x") == "/runs"
    assert navigation.find_current("/") == "/"
    assert navigation.find_current("/login") == ""
