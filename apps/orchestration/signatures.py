"""Whether a delivery was signed with a hook's secret, and which other one it is the same as.

Two forms are read. Standard Webhooks signs id, time and body: a captured delivery is worth nothing
after the tolerance. GitHub's signs the body alone: the same body is the same delivery.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from octavo.kernel.errors import InvalidInput, Unauthenticated

SECRET_PREFIX = "whsec_"  # noqa: S105
SHORTEST_SECRET = 8
LONGEST_SECRET = 500
_LONGEST_ID = 256
_GITHUB = "x-hub-signature-256"
_TIME = re.compile(r"\d{1,12}")
# What the other form signs: taken as a body, its signature could be used for this one.
_SIGNED_CONTENT = re.compile(rb"[^\s{\[\"]+\.\d{1,12}\.")


def check_secret(secret: str) -> None:
    """Raises `InvalidInput` for a secret that cannot sign, or could be guessed."""
    detail = ""
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET or not secret.isprintable():
        detail = f"use {SHORTEST_SECRET} to {LONGEST_SECRET} printable characters."
    elif secret.startswith(SECRET_PREFIX) and _decoded(secret) is None:
        detail = f"what follows {SECRET_PREFIX} must be base64."
    if detail:
        raise InvalidInput(
            f"The secret cannot be used: {detail}", errors=[{"path": "/secret", "detail": detail}]
        )


def verify(
    *,
    secrets: Sequence[str],
    body: bytes,
    headers: Mapping[str, str],
    now: datetime,
    tolerance_seconds: int,
) -> str:
    """What makes this delivery the same as another. `headers` have lower-case names.

    Raises `Unauthenticated` for a delivery that none of `secrets` has signed, or too long ago.
    """
    if "webhook-signature" in headers:
        return _verify_standard(secrets, body, headers, now, tolerance_seconds)
    if _GITHUB in headers:
        return _verify_github(secrets, body, headers[_GITHUB])
    raise Unauthenticated(
        "The delivery is not signed. Send X-Hub-Signature-256: sha256=<HMAC of the body>, or the "
        "headers webhook-id, webhook-timestamp and webhook-signature."
    )


def _verify_standard(
    secrets: Sequence[str],
    body: bytes,
    headers: Mapping[str, str],
    now: datetime,
    tolerance_seconds: int,
) -> str:
    name, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 0 < len(name) <= _LONGEST_ID or not _TIME.fullmatch(sent_at):
        raise Unauthenticated(
            "webhook-signature needs webhook-id (1 to 256 characters) and webhook-timestamp (Unix "
            "seconds) beside it."
        )
    signed = f"{name}.{sent_at}.".encode(errors="replace") + body
    given = [part[3:] for part in headers["webhook-signature"].split() if part.startswith("v1,")]
    expected = [base64.b64encode(_mac(_key_of(secret), signed)).decode() for secret in secrets]
    if not _matches(expected, given):
        raise _wrong()
    if abs(now.timestamp() - int(sent_at)) > tolerance_seconds:
        raise Unauthenticated(
            f"webhook-timestamp is more than {tolerance_seconds} s away from this server's time. "
            "Send the delivery again, or set the sender's clock."
        )
    return f"id:{name}"


def _verify_github(secrets: Sequence[str], body: bytes, given: str) -> str:
    expected = [f"sha256={_mac(secret.encode(), body).hex()}" for secret in secrets]
    if not _matches(expected, [given.strip().lower()]) or _SIGNED_CONTENT.match(body):
        raise _wrong()
    return f"body:{hashlib.sha256(body).hexdigest()}"


def _matches(expected: Sequence[str], given: Sequence[str]) -> bool:
    """Compares all with all, in a time that does not tell where they differ."""
    pairs = [hmac.compare_digest(e.encode(), g.encode()) for e in expected for g in given]
    return any(pairs)


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")


def _key_of(secret: str) -> bytes:
    """Standard Webhooks decodes a secret that begins with `whsec_`; any other is taken as it is."""
    return _decoded(secret) or secret.encode()


def _decoded(secret: str) -> bytes | None:
    if not secret.startswith(SECRET_PREFIX):
        return None
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True) or None
    except binascii.Error:
        return None


def _wrong() -> Unauthenticated:
    return Unauthenticated(
        "The signature does not fit the body and the hook's secret. Sign the raw body, byte for "
        "byte, with HMAC-SHA256."
    )
