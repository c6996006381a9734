"""Finds tools by words: BM25 over name, description and parameters of what a caller may call.

The list is the caller's own and short enough (thousands) to be scored where it is.
Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond".
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import mcp_types as t

_WORD = re.compile(r"[a-z]+|[0-9]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SUFFIX = re.compile(r"(?<=[a-z]{3})(?:ies|es|s|ing|ed)$")
_K1, _B = 1.2, 0.75
_NAME_WEIGHT = 3  # a word of the name says as much as three of the description


def find(tools: Sequence[t.Tool], query: str, *, limit: int) -> list[t.Tool]:
    """The best first; none that shares no word with the query."""
    documents = [Counter(_words_of(tool)) for tool in tools]
    wanted = set(_words(query))
    weights = _rarity(documents, wanted)
    mean = sum(d.total() for d in documents) / len(documents) if documents else 0.0
    scores = [_score(document, weights, mean) for document in documents]
    ranked = sorted(zip(scores, tools, strict=True), key=lambda pair: (-pair[0], pair[1].name))
    return [tool for score, tool in ranked[:limit] if score > 0]


def _words_of(tool: t.Tool) -> Iterable[str]:
    yield from _words(tool.name) * _NAME_WEIGHT
    yield from _words(tool.title or "")
    yield from _words(tool.description or "")
    for name, schema in (tool.input_schema.get("properties") or {}).items():
        yield from _words(name)
        described = schema.get("description") if isinstance(schema, dict) else None
        yield from _words(described if isinstance(described, str) else "")


def _words(text: str) -> list[str]:
    """Lower-case words without their commonest endings; `readFile` and `read_file` are the same."""
    return [_SUFFIX.sub("", word) for word in _WORD.findall(_HUMP.sub(" ", text).lower())]


def _rarity(documents: Sequence[Counter[str]], wanted: Iterable[str]) -> dict[str, float]:
    weights = {}
    for word in wanted:
        holding = sum(word in document for document in documents)
        weights[word] = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
    return weights


def _score(document: Counter[str], weights: dict[str, float], mean: float) -> float:
    length = _K1 * (1 - _B + _B * document.total() / mean) if mean else _K1
    return sum(
        weight * document[word] * (_K1 + 1) / (document[word] + length)
        for word, weight in weights.items()
    )
