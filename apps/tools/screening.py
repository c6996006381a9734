"""What a definition hides from people, or says to steer a model, is found before it is read."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

# Characters that show nothing: control, bidirectional, zero-width, fillers, tags and variation
# selectors. One joiner or selector is part of emoji and of some scripts; a row is a message.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|[\u200c\u200d\ufe00-\ufe0f]{3,}"
)
_STEERING = re.compile(
    r"""<\s*/?\s*(?:important|system|secret|instructions?|admin)\s*>
    | \b(?:ignore|disregard|forget|override)\b.{0,30}\b(?:previous|prior|above|all|earlier|system)\b
    | \b(?:do\s+not|don't|never)\s+(?:tell|mention|inform|reveal|show|notify)\b
    | \b(?:before|instead\s+of)\s+(?:using|calling|invoking)\s+(?:this|any|other|the)\b
    | \b(?:always|must)\s+(?:first\s+)?(?:call|use|invoke)\s+(?:this|me)\b
    | \b(?:system|hidden)\s+prompt\b
    | \.ssh\b | \bid_rsa\b | \.env\b | \bmcp\.json\b | /etc/(?:passwd|shadow)
    | \b(?:api[ _-]?keys?|passwords?|credentials?)\b.{0,40}\b(?:send|include|pass|append|attach)\b
    | \b(?:send|include|pass|append|attach)\b.{0,40}\b(?:api[ _-]?keys?|passwords?|credentials?)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MOST_WARNINGS = 10
_QUOTED = 80


def find_invisible(definition: Mapping[str, Any]) -> str:
    """Where invisible characters are, and which; "" when there are none."""
    for path, text in _texts(definition):
        found = _INVISIBLE.search(text)
        if found:
            name = ", ".join(f"U+{ord(character):04X}" for character in found.group()[:3])
            return f"{path} holds invisible characters ({name})"
    return ""


def find_steering(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Phrases that speak to a model instead of describing the tool, each with its place."""
    warnings = []
    for path, text in _texts(definition):
        flat = " ".join(unicodedata.normalize("NFKC", text).split())
        found = _STEERING.search(flat)
        if found:
            warnings.append(f"{path} says: {found.group()[:_QUOTED]!r}")
        if len(warnings) == _MOST_WARNINGS:
            break
    return tuple(warnings)


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string and every key of the definition, with a JSON pointer to it."""
    if isinstance(value, str):
        yield path or "/", value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"{path}/…", str(name)
            yield from _texts(inner, f"{path}/{name}"[:200])
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{path}/{index}")
