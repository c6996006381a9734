"""A naive store: a list of states, one for each sequence number, to compare the real one with."""

import random
from dataclasses import dataclass, field
from typing import Any

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron")


@dataclass(slots=True)
class Replay:
    """`states[s]` is what every key said after change `s`."""

    states: list[dict[str, str]] = field(default_factory=lambda: [{}])

    @property
    def seq(self) -> int:
        return len(self.states) - 1

    def now(self) -> dict[str, str]:
        return self.states[-1]

    def change(self, state: dict[str, str]) -> None:
        if state != self.now():
            self.states.append(state)


def misdescribed() -> list[tuple[str, Any]]:
    """Live chunks whose metadata are not those of their entry's head: the key and what they are."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.key, c.metadata FROM chunk AS c JOIN entry AS e ON e.id = c.entry_id "
            "JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number "
            "WHERE c.died IS NULL AND c.metadata <> v.metadata"
        )
        return cursor.fetchall()


def act(rng: random.Random, scope: Any, space: str, replay: Replay) -> None:
    """One random change, made to both stores."""
    from apps.context.services import versions, writing

    keys = sorted(replay.now())
    choice = rng.random()
    if choice < 0.65 or not keys:
        key, words = f"k{rng.randrange(6)}", rng.choices(WORDS, k=rng.randrange(1, 5))
        text = " ".join(words)
        writing.write_entry(
            scope=scope,
            space=space,
            key=key,
            content=text,
            why="test",
            metadata={"first": words[0]},
        )
        replay.change(replay.now() | {key: text})
    elif choice < 0.85:
        key = rng.choice(keys)
        writing.delete_entry(scope=scope, space=space, key=key, why="test")
        replay.change({name: text for name, text in replay.now().items() if name != key})
    else:
        seq = rng.randrange(replay.seq + 1)
        versions.roll_back(scope=scope, space=space, to=seq, why="test")
        replay.change(dict(replay.states[seq]))
