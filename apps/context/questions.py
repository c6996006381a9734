"""What the form of a question says about its answer: a step to take, or a definition.

English only; a question in another language is answered without this help.
"""

import re

BONUS = 0.1
SHORT = 5  # words; less than that rarely answers anything

_HOW_TO = re.compile(
    r"^\W*(?:how (?:do|can|could|should|must|to)\b|where (?:do|can)\b)", re.IGNORECASE
)
_WHAT_IS = re.compile(
    r"^\W*(?:what|who) (?:is|are|does)\s+(?:an?\s+|the\s+)?(?P<subject>[\w\s-]{2,60}?)"
    r"(?:\s+mean|\s+stand for)?\W*$",
    re.IGNORECASE,
)
_DOES = re.compile(r"`[^`\n]{3,}`|^(?:```|~~~)", re.MULTILINE)
_SAYS = r"(?:is|are|means|holds|names|contains|describes|stands for)\b"


def fitness(*, question: str, answer: str) -> float:
    """What to add to the score of `answer`: up to `BONUS`, or as much less."""
    score = 0.0
    asked = _WHAT_IS.match(question)
    tells_how = _HOW_TO.match(question) and _DOES.search(answer)
    if tells_how or (asked and _defines(asked["subject"], answer)):
        score = BONUS
    if len(answer.split()) < SHORT and not _DOES.search(answer):
        score -= BONUS
    return score


def _defines(subject: str, answer: str) -> bool:
    words = r"\s+".join(map(re.escape, subject.split()))
    defined = rf"\W*(?:(?:an?|the)\b)?\W*{words}s?\W+(?:\w+\W+){{0,5}}?{_SAYS}"
    return re.match(defined, answer, re.IGNORECASE) is not None
