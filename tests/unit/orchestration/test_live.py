"""What watchers are told in fewer messages is still all that they need."""

from apps.orchestration import live


def test_of_sequence_numbers_only_the_last_is_sent() -> None:
    batch = [("a", {"seq": 1}), ("b", {"seq": 7}), ("a", {"seq": 2}), ("a", {"seq": 3})]
    assert live._gathered(batch) == [("a", {"seq": 3}), ("b", {"seq": 7})]


def test_text_of_one_step_is_joined_in_order() -> None:
    words = [("a", {"delta": word, "step": "model.1"}) for word in ("one ", "two ", "three")]
    assert live._gathered(words) == [("a", {"delta": "one two three", "step": "model.1"})]


def test_text_never_moves_across_a_result_or_another_step() -> None:
    batch = [
        ("a", {"delta": "one", "step": "model.1"}),
        ("a", {"abandoned": "model.1"}),
        ("a", {"delta": "two", "step": "model.1"}),
        ("a", {"seq": 4}),
        ("a", {"delta": "three", "step": "model.2"}),
        ("a", {"seq": 5}),
    ]
    assert live._gathered([(channel, dict(message)) for channel, message in batch]) == batch
