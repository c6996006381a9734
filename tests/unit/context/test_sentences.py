"""What may be quoted alone, and that its offsets are exact."""

from apps.context.questions import fitness
from apps.context.sentences import Unit, UnitKind, units

MARKDOWN = """\
# Start

It is easy, e.g. on Linux. Version 1.2.3 works: see Fig. 3! Really?
Yes.

Add your own files:

```sh
context add <space> <files…>

# a comment
```

| to | do |
|---|---|
| stop | press Ctrl-C |

1. First thing.
   And its second line.
2. Second thing

> A quoted remark.

## End
---
"""


def texts(text: str) -> list[str]:
    return [text[unit.start : unit.end] for unit in units(text)]


def by_text(text: str) -> dict[str, Unit]:
    return {text[unit.start : unit.end]: unit for unit in units(text)}


def test_markdown_falls_into_units() -> None:
    assert texts(MARKDOWN) == [
        "It is easy, e.g. on Linux.",
        "Version 1.2.3 works: see Fig. 3!",
        "Really?",
        "Yes.",
        "Add your own files:\n\n```sh\ncontext add <space> <files…>\n\n# a comment\n```",
        "stop | press Ctrl-C",
        "First thing.\n   And its second line.",
        "Second thing",
        "A quoted remark.",
    ]


def test_units_know_what_they_cannot_be_understood_without() -> None:
    found = by_text(MARKDOWN)
    assert {unit.heading for unit in found.values()} == {"Start"}
    assert found["stop | press Ctrl-C"].lead == "to | do"
    assert found["Yes."].lead == "Really?"
    assert found["stop | press Ctrl-C"].kind is UnitKind.ROW


def test_a_code_block_that_is_cut_off_still_is_one() -> None:
    assert texts("```\nmake up\n") == ["```\nmake up"]


def test_a_very_long_code_block_is_quoted_by_the_paragraph() -> None:
    block = "\n\n".join(["line\n" * 100] * 5)
    assert len(texts(f"```\n{block}\n```")) == 5


def test_other_scripts_have_sentences_too() -> None:
    assert texts("これは文です。次の文です。") == ["これは文です。", "次の文です。"]
    assert texts("Это первое. Это второе.") == ["Это первое.", "Это второе."]


def test_no_text_makes_it_slow_or_fail() -> None:
    for text in ("." * 3000, "|" * 3000, "# " + "#" * 3000, "`" * 3000, "- " * 1500, "> " * 1500):
        units(text)


def test_a_how_to_question_prefers_what_can_be_typed() -> None:
    assert fitness(question="How do I start it?", answer="To start it, run `make up` at once.") > 0
    assert fitness(question="How do I start it?", answer="It starts all by itself then.") == 0


def test_a_what_is_question_prefers_a_definition() -> None:
    definition = "A **run** of an agent is one piece of work."
    assert fitness(question="What is a run?", answer=definition) > 0
    assert fitness(question="What is a run?", answer="Nothing that runs holds a lock.") == 0


def test_a_scrap_rarely_answers() -> None:
    assert fitness(question="How do I upgrade?", answer="Back up first.") < 0
