"""Ids are UUIDv7 inside and `prefix_…` outside, so that an id says what it names and sorts by time.

The text form is TypeID 0.3: the prefix, an underscore, 26 characters of Crockford base32.
https://github.com/jetify-com/typeid/tree/main/spec
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from uuid_utils.compat import uuid7

from octavo.kernel.errors import NotFound

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_LENGTH = 26
_EXAMPLE = "01h455vb4pex5vsknk084sn02q"


class Kind(StrEnum):
    """The prefix of each public id."""

    ORGANISATION = "org"
    TEAM = "team"
    PROJECT = "prj"
    USER = "usr"
    SERVICE = "svc"
    KEY = "key"
    AGENT = "agt"
    WORKFLOW = "wfl"
    RUN = "run"
    TOOL = "tool"
    SPACE = "spc"
    ENTRY = "ent"
    REVISION = "rev"
    JOB = "job"
    APPROVAL = "apr"
    POLICY = "pol"
    DECISION = "dec"
    BUDGET = "bud"
    PROVIDER = "prv"
    MODEL = "mdl"
    ROUTE = "rte"
    USAGE = "use"
    SCHEDULE = "sch"
    HOOK = "hook"
    TRIGGER = "trg"
    FIRING = "fir"


def new() -> UUID:
    """A fresh UUIDv7: later ids sort after earlier ones."""
    return uuid7()


def first_at(moment: datetime) -> UUID:
    """The lowest id that can have been made at that millisecond: `id >= …` means since then."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def encode(kind: Kind, value: UUID) -> str:
    """`run_01h455vb4pex5vsknk084sn02q`."""
    number = value.int
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_LENGTH - 1), -1, -5)]
    return f"{kind}_{''.join(digits)}"


def decode(kind: Kind, text: str) -> UUID:
    """The UUID behind a public id. Raises `NotFound`: an id that cannot exist names nothing."""
    prefix, _, digits = text.partition("_")
    known = len(digits) == _LENGTH and digits[0] in "01234567" and all(c in _VALUES for c in digits)
    if prefix != kind or not known:
        raise NotFound(
            f"There is no {kind.name.lower()} {text!r}: such an id looks like {kind}_{_EXAMPLE}."
        )
    number = 0
    for character in digits:
        number = number << 5 | _VALUES[character]
    return UUID(int=number)


def trace_id(value: UUID) -> str:
    """The W3C trace id of a run: its UUID as 32 lower-case hex digits."""
    return value.hex
