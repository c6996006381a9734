"""A conversation that the model cannot take is sent shorter: what tools said first goes first."""

from collections.abc import Sequence
from dataclasses import replace

from apps.inference.types import Message

MOST_TRIMS = 2
_KEPT = ((4, 1000), (1, 200))
"""At each level: how many of the last tool results stay whole, and what the others are cut to."""


def trim(messages: Sequence[Message], *, level: int) -> tuple[Message, ...]:
    """The conversation at this level; 0 leaves it as it is."""
    if level == 0:
        return tuple(messages)
    whole, length = _KEPT[min(level, MOST_TRIMS) - 1]
    results = [place for place, message in enumerate(messages) if message.role == "tool"]
    cut = set(results[: max(0, len(results) - whole)])
    return tuple(
        _cut(message, length) if place in cut else message for place, message in enumerate(messages)
    )


def _cut(message: Message, length: int) -> Message:
    left_out = len(message.content) - length
    if left_out <= 0:
        return message
    note = f"… [{left_out} characters left out, because the conversation was too long]"
    return replace(message, content=message.content[:length] + note)
