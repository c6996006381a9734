"""Recorded histories fold today as they did when they were written."""

from dataclasses import replace

import pytest

from apps.orchestration import replaying
from apps.orchestration.types.runs import EventType
from tests import histories


def test_there_is_a_history_of_each_kind() -> None:
    seen = {record.type for name in histories.NAMES for record in histories.read(name).records}
    rare = {
        EventType.RUN_CANCELLED,
        EventType.RUN_QUARANTINED,
        EventType.MAIL_RECEIVED,
        EventType.NOTE,
    }
    assert set(EventType) - seen - rare == set()


@pytest.mark.parametrize("name", histories.NAMES)
def test_a_recorded_history_folds_as_it_was_written(name: str) -> None:
    history = histories.read(name)
    found = replaying.check(
        history.run,
        history.definition,
        history.records,
        history.contents,
        inherited=history.inherited,
    )
    assert found.first_difference is None
    assert found.equal
    assert found.events == len(history.records)


def test_another_definition_is_noticed_where_it_first_matters() -> None:
    history = histories.read("approved_with_other_arguments")
    assert history.definition is not None
    changed = replace(history.definition, instructions="Do something else.")
    found = replaying.check(history.run, changed, history.records, history.contents)
    assert not found.equal
    assert found.first_difference is not None
    assert found.first_difference.step == "model.1"
    assert found.first_difference.expected["prompt"] != found.first_difference.recorded["prompt"]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (EventType.TOOL_ANSWERED, {"tool": "box_other"}),
        (EventType.TOOL_ANSWERED, {"arguments": {"n": 77}}),
        (EventType.RUN_SUCCEEDED, {"output": {"text": "something else", "citations": []}}),
    ],
)
def test_a_record_that_nobody_asked_for_is_noticed(
    kind: EventType, change: dict[str, object]
) -> None:
    history = histories.read("approved_with_other_arguments")
    records = list(history.records)
    index = next(index for index, record in enumerate(records) if record.type is kind)
    records[index] = replace(records[index], data={**records[index].data, **change})
    found = replaying.check(history.run, history.definition, records, history.contents)
    assert found.first_difference is not None
    assert found.first_difference.seq == records[index].seq
