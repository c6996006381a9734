"""A delivery counts once, for whoever holds the secret, while it is fresh."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from apps.orchestration import pointers, signatures
from octavo.kernel.errors import InvalidInput, Unauthenticated

SECRET = "a-long-random-secret"
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
BODY = b'{"n": 1}'
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def github(body: bytes = BODY, secret: str = SECRET) -> dict[str, str]:
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={mac}"}


def standard(
    body: bytes = BODY, *, key: bytes = SECRET.encode(), at: datetime = NOW, name: str = "msg_1"
) -> dict[str, str]:
    sent_at = str(int(at.timestamp()))
    mac = hmac.new(key, f"{name}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    signature = f"v2,xx v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": name, "webhook-timestamp": sent_at, "webhook-signature": signature}


def verify(headers: dict[str, str], body: bytes = BODY, *secrets: str) -> str:
    return signatures.verify(
        secrets=secrets or (SECRET,), body=body, headers=headers, now=NOW, tolerance_seconds=300
    )


def test_both_forms_are_read() -> None:
    assert verify(github()) == f"body:{hashlib.sha256(BODY).hexdigest()}"
    assert verify(standard()) == "id:msg_1"
    key = base64.b64decode(STANDARD_SECRET.removeprefix("whsec_"))
    assert verify(standard(key=key), BODY, STANDARD_SECRET) == "id:msg_1"


def test_the_specification_s_own_example_verifies() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    found = signatures.verify(
        secrets=[STANDARD_SECRET],
        body=b'{"test": 2432232314}',
        headers=headers,
        now=datetime.fromtimestamp(1614265330, UTC),
        tolerance_seconds=300,
    )
    assert found == "id:msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_the_secret_before_still_counts_when_it_is_given() -> None:
    assert verify(github(secret="the-old-secret"), BODY, SECRET, "the-old-secret")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        github(secret="another-secret"),
        github(b"other"),
        {"x-hub-signature-256": "sha256="},
        {"x-hub-signature-256": "sha256=é"},
        standard(b"other"),
        standard(key=b"another-secret"),
        standard(at=NOW - timedelta(seconds=301)),
        standard(at=NOW + timedelta(seconds=301)),
        {**standard(), "webhook-timestamp": "soon"},
        {**standard(), "webhook-timestamp": "٣"},
        {**standard(), "webhook-id": ""},
        {**standard(), "webhook-signature": ""},
        {**standard(), "webhook-id": "msg_2"},
        {**standard(), **github(), "webhook-signature": "v1,x"},
    ],
)
def test_what_is_not_signed_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        verify(headers)


def test_a_signature_of_one_form_is_worth_nothing_in_the_other() -> None:
    captured = standard()
    signed = f"{captured['webhook-id']}.{captured['webhook-timestamp']}.".encode() + BODY
    mac = base64.b64decode(captured["webhook-signature"].partition("v1,")[2]).hex()
    with pytest.raises(Unauthenticated):
        verify({"x-hub-signature-256": f"sha256={mac}"}, signed)


@pytest.mark.parametrize("secret", ["short", "x" * 501, "with\nnewline", "whsec_?", "whsec_"])
def test_a_secret_that_cannot_sign_is_refused(secret: str) -> None:
    with pytest.raises(InvalidInput):
        signatures.check_secret(secret)


def test_a_pointer_finds_its_value_or_says_that_there_is_none() -> None:
    document = {"a/b": [{"~": "x"}], "": 1}
    assert pointers.resolve(document, "/a~1b/0/~0") == "x"
    assert pointers.resolve(document, "/") == 1
    assert pointers.resolve(document, "") is document
    for wrong in ("/none", "/a~1b/1", "/a~1b/00", "/a~1b/-", "/a~1b/0/~0/x"):
        with pytest.raises(InvalidInput):
            pointers.resolve(document, wrong)
    for bad in ("x", "/~2", "/~", "/" + "x" * 500):
        with pytest.raises(InvalidInput):
            pointers.check_pointer(bad)
