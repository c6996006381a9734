"""Hooks: a signed delivery starts one run, however often it is sent; any other starts none.

What a hook brings comes from outside: its run is tainted from the first event on.
"""

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings as installation
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.orchestration import signatures, triggering
from apps.orchestration.models import Firing, Run, Trigger
from apps.orchestration.pointers import check_pointer, resolve
from apps.orchestration.rows import run_view
from apps.orchestration.trigger_rows import hook_of, stored, trigger_view
from apps.orchestration.triggering import Call
from apps.orchestration.types.triggers import (
    Delivery,
    FiringOutcome,
    HookSettings,
    NewHook,
    TriggerKind,
    TriggerView,
)
from octavo.kernel import clock, ids
from octavo.kernel.errors import (
    Conflict,
    NotFound,
    OctavoError,
    RateLimited,
    TooLarge,
)
from octavo.kernel.scope import Scope
from octavo.kernel.secrets import Secret, reveal

TOKEN_PREFIX = "whk_"  # noqa: S105
MOST_GRACE_SECONDS = 7 * 24 * 60 * 60
_KIND = TriggerKind.HOOK


def create_hook(
    *,
    scope: Scope,
    agent: str = "",
    workflow: str = "",
    secret: str = "",
    input_path: str = "",
    name: str = "",
) -> NewHook:
    """A new address whose signed deliveries start runs of the agent or of the workflow, in the
    caller's name.

    The token and the secret (made up when not given) are in this answer alone. Needs
    `trigger.manage` and the right to start it.
    """
    triggering.check_manage(scope)
    check_pointer(input_path)
    secret = _usable(secret)
    target = triggering.checked_target(scope, agent=agent, workflow=workflow)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = triggering.create(
        scope,
        _KIND,
        **target,
        name=triggering.check_name(name),
        settings=stored(HookSettings(input_path=input_path)),
        token_hash=_hash(token),
        secret=Secret(secret),
    )
    return NewHook(hook=trigger_view(row), token=token, secret=secret)


def change_hook(*, scope: Scope, hook_id: UUID, changes: Mapping[str, Any]) -> TriggerView:
    """Change `agent` or `workflow`, `input_path` or `name`. It acts for the caller from then on."""
    triggering.check_manage(scope)
    with transaction.atomic():
        row = triggering.get_row(scope, _KIND, hook_id, lock=True)
        settings = replace(hook_of(row), **{k: changes[k] for k in ("input_path",) if k in changes})
        check_pointer(settings.input_path)
        target = triggering.changed_target(scope, row, changes)
        name = triggering.check_name(changes.get("name", row.name))
        triggering.save(scope, row, **target, name=name, settings=stored(settings))
    return trigger_view(row)


def rotate_secret(
    *, scope: Scope, hook_id: UUID, secret: str = "", grace_seconds: int = 0
) -> NewHook:
    """Sign with another secret from now on; the one before is accepted for `grace_seconds` more."""
    triggering.check_manage(scope)
    secret = _usable(secret)
    with transaction.atomic():
        row = triggering.get_row(scope, _KIND, hook_id, lock=True)
        row.old_secret = Secret(reveal(row, "secret"))
        row.old_secret_until = Now() + timedelta(seconds=grace_seconds)
        row.secret = Secret(secret)
        row.save(update_fields=["secret", "old_secret", "old_secret_until"])
        row.refresh_from_db()
        triggering.record(scope, row, "rotate_secret", grace_seconds=grace_seconds)
    return NewHook(hook=trigger_view(row), token=None, secret=secret)


def receive(*, token: str, body: bytes, headers: Mapping[str, str]) -> Delivery:
    """Start a run for a signed delivery; the same delivery gets the same run.

    `headers` have lower-case names. Raises `NotFound` for a token that was never given out; every
    other refusal is also recorded at the hook.
    """
    row = Trigger.objects.filter(token_hash=_hash(token), kind=_KIND.value).first()
    if row is None:
        raise NotFound("There is no such hook. Its address was mistyped, or it was deleted.")
    try:
        key = _admit(row, body, headers)
        return _find_replay(row, key) or _deliver(row, key, _input_of(row, body))
    except OctavoError as refusal:
        if not isinstance(refusal, _Recorded):
            _note_refusal(row, refusal)
        raise


class _Recorded(Conflict):
    """A delivery whose run could not start, which its firing says."""


def _admit(row: Trigger, body: bytes, headers: Mapping[str, str]) -> str:
    """What makes the delivery the same as another, once it is known to be the sender's."""
    if len(body) > installation.HOOK_MAX_BODY_BYTES:
        raise TooLarge(
            f"The delivery has {len(body)} bytes; a hook takes {installation.HOOK_MAX_BODY_BYTES}."
            " Send less, or a reference to it."
        )
    key = signatures.verify(
        secrets=_secrets(row),
        body=body,
        headers=headers,
        now=clock.now(),
        tolerance_seconds=installation.HOOK_TOLERANCE_SECONDS,
    )
    if row.paused_at is not None:
        raise Conflict("The hook is paused. Whoever owns it can resume it.")
    return key


def _secrets(row: Trigger) -> list[str]:
    found = [reveal(row, "secret")]
    if row.old_secret_until is not None and row.old_secret_until > clock.now():
        found.append(reveal(row, "old_secret"))
    return found


def _find_replay(row: Trigger, key: str) -> Delivery | None:
    firing = Firing.objects.filter(trigger=row, dedupe_key=key).first()
    return _delivery(firing, is_replay=True) if firing else None


def _deliver(row: Trigger, key: str, given: Any) -> Delivery:
    left = triggering.seconds_until_room(row, FiringOutcome.STARTED)
    if left:
        raise RateLimited(
            f"The hook has started {installation.TRIGGER_RUNS_PER_MINUTE} runs within a minute. "
            "Send the delivery again later.",
            retry_after=left,
        )
    call = Call(key=key, due_at=clock.now(), input=given, tainted=True)
    try:
        with transaction.atomic():
            firing = triggering.fire(row, call)
    except IntegrityError:  # the same delivery arrived twice at once: the other one won
        replay = _find_replay(row, key)
        if replay is None:
            raise
        return replay
    if firing.run_id is None:
        name = ids.encode(ids.Kind.FIRING, firing.id)
        raise _Recorded(
            f"The delivery is recorded as {name}, and its run could not start. Whoever owns the "
            "hook sees why; send it again after that."
        )
    return _delivery(firing, is_replay=False)


def _delivery(firing: Firing, *, is_replay: bool) -> Delivery:
    run = run_view(Run.objects.get(id=str(firing.run_id)))
    return Delivery(firing_id=firing.id, run_id=run.id, status=run.status, is_replay=is_replay)


def _input_of(row: Trigger, body: bytes) -> Any:
    """What the hook points at: an object as it is, whatever else as `{"text": …}`."""
    path = hook_of(row).input_path
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if path:
        document = resolve(document, path)
        if isinstance(document, str) and document.strip():
            return document
        body = orjson.dumps(document)
    if isinstance(document, dict) and document:
        return document
    return {"text": body.decode(errors="replace")}


def _note_refusal(row: Trigger, refusal: OctavoError) -> None:
    """For whoever looks why nothing happens. A flood leaves no more rows than runs may start."""
    if triggering.seconds_until_room(row, FiringOutcome.REFUSED) == 0:
        call = Call(key=None, due_at=clock.now(), input=None)
        triggering.note(row, call, FiringOutcome.REFUSED, reason=refusal.detail)


def _usable(secret: str) -> str:
    secret = secret or signatures.SECRET_PREFIX + b64encode(secrets.token_bytes(32)).decode()
    signatures.check_secret(secret)
    return secret


def _hash(token: str) -> bytes:
    """256 random bits need no slow hash."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
