"""Quotes: verbatim answers from the right place, and silence where the sources do not answer."""

from pathlib import Path
from typing import Any

import pytest

from apps.context import selectors
from apps.context.services import ingestion, searching, spaces

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parent / "observatory"

ANSWERED = {
    "When is the dome open to visitors?": "Friday and Saturday",
    "How much does a ticket cost for adults?": "9 pounds",
    "How do I book a place?": "reserve --night",
    "How do I cancel a booking?": "reserve --cancel <number>",
    "What is the focal length of the telescope?": "4.2 metres",
    "What is a coelostat?": "follows the sun",
    "Are dogs allowed?": "Dogs must stay outside.",
    "What happens in a thunderstorm?": "refunded",
    "What should I do if the motor of the dome fails?": "brass crank",
    "How often is the lens cleaned?": "twice a year",
    "Why are white torches forbidden?": "night vision",
    "What happens when the humidity is too high?": "closes by itself",
}
UNANSWERED = (
    "What is the capital of France?",
    "How do I bake sourdough bread?",
    "Who won the world cup in 2018?",
    "What is the salary of the director?",
    "How do I connect my phone to the wireless network?",
    "What is photosynthesis?",
    "Where can I rent a bicycle?",
    "Which programming language is the website written in?",
)


@pytest.fixture
def manual(minilm_scope: Any) -> Any:
    spaces.create_space(scope=minilm_scope, name="manual")
    ingestion.ingest_paths(scope=minilm_scope, space="manual", paths=[FOLDER])
    return minilm_scope


def test_answers_are_quoted_and_silence_is_kept(manual: Any) -> None:
    """The wrong ones are listed, so that a change of the scoring shows what it costs."""
    wrong = []
    for question, needle in ANSWERED.items():
        quotes = searching.quote(scope=manual, query=question, spaces=["manual"])
        if not quotes or needle not in quotes[0].text:
            wrong.append((question, [(round(q.score, 2), q.text) for q in quotes]))
    invented = [
        (question, quotes[0].score, quotes[0].text)
        for question in UNANSWERED
        if (quotes := searching.quote(scope=manual, query=question, spaces=["manual"]))
    ]
    assert len(wrong) <= 1, wrong
    assert not invented


def test_a_quote_is_the_very_text_that_it_cites(manual: Any) -> None:
    for question in list(ANSWERED)[:4]:
        for quote in searching.quote(scope=manual, query=question, spaces=["manual"]):
            place = quote.citation
            text = selectors.get_entry(scope=manual, space=place.space, key=place.key).text
            assert text[place.start : place.end] == quote.text
            assert 0 < quote.score <= 1


def test_a_command_is_quoted_whole_with_the_line_that_leads_to_it(manual: Any) -> None:
    quotes = searching.quote(scope=manual, query="How do I book a place?", spaces=["manual"])
    assert quotes[0].text.startswith("To book a place")
    assert quotes[0].text.endswith("```\nreserve --night 2024-05-17 --people 4\n```")


def test_the_handbook_says_how_to_add_files(minilm_scope: Any) -> None:
    spaces.create_space(scope=minilm_scope, name="handbook")
    ingestion.ingest_paths(
        scope=minilm_scope, space="handbook", paths=[ROOT / "README.md", ROOT / "docs"]
    )
    question = "How do I add my own files to a space?"
    quotes = searching.quote(scope=minilm_scope, query=question, spaces=["handbook"])
    assert "context add" in quotes[0].text
