"""A signed delivery starts one tainted run; whatever else reaches a hook is refused, and seen."""

import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.db import connections

from apps.orchestration import activation, journal, leases, selectors
from apps.orchestration.services import hooks, triggers
from apps.orchestration.types.triggers import (
    Delivery,
    FiringOutcome,
    FiringView,
    NewHook,
    TriggerKind,
)
from octavo.kernel.errors import (
    Conflict,
    NotFound,
    OctavoError,
    RateLimited,
    TooLarge,
    Unauthenticated,
)
from tests import runs
from tests.runs import Bench

HOOK = TriggerKind.HOOK
SECRET = "a-long-random-secret"


@pytest.fixture
def hook(bench: Bench) -> NewHook:
    runs.save(bench.scope)
    return hooks.create_hook(scope=bench.scope, agent="worker-bee", secret=SECRET)


def _signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={mac}"}


def _send(hook: NewHook, body: Any, *, secret: str = SECRET) -> Delivery:
    sent = body if isinstance(body, bytes) else orjson.dumps(body)
    assert hook.token is not None
    return hooks.receive(token=hook.token, body=sent, headers=_signed(sent, secret))


def _deliveries(bench: Bench, hook: NewHook) -> list[FiringView]:
    return selectors.list_firings(scope=bench.scope, kind=HOOK, trigger_id=hook.hook.id)


def test_a_delivery_starts_one_run_however_often_it_is_sent(bench: Bench, hook: NewHook) -> None:
    def send(_: int) -> Delivery:
        try:
            return _send(hook, {"answer": "done"})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        sent = list(pool.map(send, range(3)))
    assert len({delivery.run_id for delivery in sent}) == 1
    assert sorted(delivery.is_replay for delivery in sent) == [False, True, True]
    run = runs.advance(bench.scope, sent[0].run_id)
    assert (run.input, run.triggered_by) == ({"answer": "done"}, hook.hook.public_id)
    assert runs.events(bench.scope, run.id)[0].data["tainted"] is True
    other = _send(hook, {"answer": "another"})
    assert other.run_id != run.id
    assert [d.outcome for d in _deliveries(bench, hook)] == [FiringOutcome.STARTED] * 2


def test_the_run_of_a_delivery_is_tainted_for_every_policy(bench: Bench, hook: NewHook) -> None:
    delivery = _send(hook, {"answer": "done"})
    claimed = journal.claim(run_id=delivery.run_id, owner="test")
    assert claimed is not None
    run, head = claimed
    with leases.hold(run.id, head.fence) as lease:
        assert activation.load(run, head, lease).program.tainted


def test_whatever_is_not_signed_is_refused_and_recorded(bench: Bench, hook: NewHook) -> None:
    assert hook.token is not None
    with pytest.raises(Unauthenticated):
        hooks.receive(token=hook.token, body=b"{}", headers={})
    with pytest.raises(Unauthenticated):
        _send(hook, {}, secret="a-wrong-secret")
    with pytest.raises(TooLarge):
        _send(hook, b"x" * (settings.HOOK_MAX_BODY_BYTES + 1))
    with pytest.raises(NotFound):
        hooks.receive(token="whk_unknown", body=b"{}", headers=_signed(b"{}"))
    triggers.pause_trigger(scope=bench.scope, kind=HOOK, trigger_id=hook.hook.id)
    with pytest.raises(Conflict):
        _send(hook, {"n": 1})
    triggers.resume_trigger(scope=bench.scope, kind=HOOK, trigger_id=hook.hook.id)
    assert _send(hook, {"n": 1})
    found = _deliveries(bench, hook)
    assert [d.outcome for d in found[1:]] == [FiringOutcome.REFUSED] * 4
    assert all(d.reason for d in found[1:])
    assert bench.rows("SELECT count(*) FROM run") == [(1,)]


INPUTS = [
    ("", b"plain words", {"text": "plain words"}),
    ("", b"[1]", {"text": "[1]"}),
    ("", b"", {"text": ""}),
    ("", b"\xff\x00", {"text": "\ufffd\ufffd"}),
    ("/issue/title", b'{"issue": {"title": "stuck"}}', "stuck"),
    ("/issue", b'{"issue": {"title": "stuck"}}', {"title": "stuck"}),
    ("/n", b'{"n": 3}', {"text": "3"}),
]


def test_the_input_is_the_body_or_what_the_hook_points_at(bench: Bench) -> None:
    runs.save(bench.scope)
    for path, body, expected in INPUTS:
        made = hooks.create_hook(
            scope=bench.scope, agent="worker-bee", secret=SECRET, input_path=path
        )
        run = selectors.get_run(scope=bench.scope, run_id=_send(made, body).run_id)
        assert run.input == expected


def test_a_secret_is_rotated_with_some_grace_and_kept_sealed(bench: Bench, hook: NewHook) -> None:
    fresh = hooks.rotate_secret(scope=bench.scope, hook_id=hook.hook.id, grace_seconds=60)
    assert fresh.secret.startswith("whsec_")
    for number, secret in enumerate((SECRET, fresh.secret)):
        assert _send(hook, {"n": number}, secret=secret)
    bench.rows("UPDATE run_trigger SET old_secret_until = now() RETURNING id")
    with pytest.raises(Unauthenticated):
        _send(hook, {"n": 2})
    (kept,) = bench.rows("SELECT run_trigger::text FROM run_trigger")[0]
    assert hook.token is not None
    assert not any(secret in kept for secret in (SECRET, fresh.secret, hook.token))


def test_more_than_a_minute_allows_waits(
    bench: Bench, hook: NewHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "TRIGGER_RUNS_PER_MINUTE", 2)
    for number in range(2):
        _send(hook, {"n": number})
    with pytest.raises(RateLimited) as refused:
        _send(hook, {"n": 2})
    assert 0 < refused.value.retry_after <= 60
    assert _send(hook, {"n": 1}).is_replay
    for _ in range(3):  # a flood of refusals leaves no more rows than runs may start
        with pytest.raises(OctavoError):
            _send(hook, {}, secret="a-wrong-secret")
    assert len(_deliveries(bench, hook)) == 4
    bench.rows("UPDATE trigger_firing SET at = at - interval '61 s' RETURNING id")
    assert _send(hook, {"n": 2})


def test_a_delivery_that_could_not_start_may_come_again(bench: Bench, hook: NewHook) -> None:
    bench.rows("UPDATE agent SET name = 'away' RETURNING id")
    with pytest.raises(Conflict):
        _send(hook, {"n": 1})
    assert "worker-bee" in _deliveries(bench, hook)[0].reason
    bench.rows("UPDATE agent SET name = 'worker-bee' RETURNING id")
    assert not _send(hook, {"n": 1}).is_replay
    triggers.delete_trigger(scope=bench.scope, kind=HOOK, trigger_id=hook.hook.id)
    with pytest.raises(NotFound):
        _send(hook, {"n": 1})
