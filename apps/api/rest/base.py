"""What every REST resource shares: a typed scope, checked input, shaped output, and idempotent
creation.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, cast

import orjson
from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from octavo.kernel import idempotency
from octavo.kernel.errors import InvalidInput, NotFound, OctavoError
from octavo.kernel.scope import Scope

IDEMPOTENCY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
_MAX_KEY = 255

Handler = Callable[..., Response]


class ShownOnce(Response):
    """An answer whose `fields` are null whenever it is repeated."""

    def __init__(self, data: Any, *, status: int, fields: Sequence[str]) -> None:
        super().__init__(data, status=status)
        self.fields = tuple(fields)


class ResourceView(APIView):
    """A handler reads `self.scope` and `self.checked(...)`, calls one service or selector, and
    shapes its answer.
    """

    tag: str = ""
    key_field: str = ""  # a member of the body that may hold what the header Idempotency-Key holds

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if any("\0" in str(value) for value in kwargs.values()):
            raise NotFound("The address holds the character U+0000, which no name may contain.")

    @property
    def scope(self) -> Scope:
        return cast("Scope", self.request.auth)

    def checked(self, serializer: type[BaseSerializer[Any]]) -> dict[str, Any]:
        """The request body as `serializer` understands it. Raises a 422 problem with paths."""
        found = serializer(data=self.request.data)
        found.is_valid(raise_exception=True)
        return dict(found.validated_data)

    def query(self, serializer: type[BaseSerializer[Any]]) -> dict[str, Any]:
        """The query string as `serializer` understands it; absent parameters are absent."""
        given = {name: value for name, value in self.request.query_params.items() if value != ""}
        found = serializer(data=given)
        found.is_valid(raise_exception=True)
        return dict(found.validated_data)

    def shaped(
        self, serializer: type[BaseSerializer[Any]], value: Any, *, status: int = 200
    ) -> Response:
        return Response(serializer(value).data, status=status)

    def listed(
        self,
        serializer: type[BaseSerializer[Any]],
        items: Sequence[Any],
        *,
        next_cursor: str | None = None,
    ) -> Response:
        """A list that is not paged by id."""
        shaped = serializer(items, many=True).data
        return Response({"items": shaped, "next_cursor": next_cursor})


def idempotent(handler: Handler) -> Handler:
    """Wrap a creating handler: the key, the work and the stored answer commit together or not at
    all.

    A repeated request with the same `Idempotency-Key` waits for the first and gets its answer,
    marked by `Idempotency-Replayed: true`. The handler must not wait for the network. A refusal
    frees the key.
    """

    return _once(handler, _answer_once)


def answered_once(handler: Handler) -> Handler:
    """As `idempotent`, for a handler that waits for a model and may be repeated without harm: the
    key is held by itself while the work is under way, and a request next to it is refused.
    """
    return _once(handler, _answer_apart)


def _once(
    handler: Handler,
    answer_once: Callable[["ResourceView", str, Callable[[], Response]], Response | OctavoError],
) -> Handler:
    @wraps(handler)
    def answer(view: ResourceView, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(IDEMPOTENCY_HEADER, _key_in_body(view))
        if key is None:
            return handler(view, request, *args, **kwargs)
        if not 0 < len(key) <= _MAX_KEY or not key.isprintable():
            raise InvalidInput(
                f"{IDEMPOTENCY_HEADER} must be 1 to {_MAX_KEY} printable characters."
            )
        outcome = answer_once(view, key, lambda: handler(view, request, *args, **kwargs))
        if isinstance(outcome, OctavoError):
            raise outcome
        return outcome

    return answer


def _key_in_body(view: ResourceView) -> str | None:
    data = view.request.data
    found = data.get(view.key_field) if view.key_field and isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def _answer_once(
    view: ResourceView, key: str, work: Callable[[], Response]
) -> Response | OctavoError:
    fingerprint = _fingerprint(view.request)
    with transaction.atomic():
        stored = idempotency.claim(scope=view.scope, key=key, fingerprint=fingerprint)
        if stored is not None:
            return _replayed(stored)
        try:
            response = work()
        except OctavoError as refusal:  # what the refusal recorded must commit with it
            idempotency.abandon(scope=view.scope, key=key)
            return refusal
        _complete(view, key, response)
    return response


def _answer_apart(
    view: ResourceView, key: str, work: Callable[[], Response]
) -> Response | OctavoError:
    stored = idempotency.claim(scope=view.scope, key=key, fingerprint=_fingerprint(view.request))
    if stored is not None:
        return _replayed(stored)
    try:
        response = work()
    except BaseException:
        idempotency.abandon(scope=view.scope, key=key)
        raise
    _complete(view, key, response)
    return response


def _replayed(stored: idempotency.Answer) -> Response:
    body = orjson.loads(stored.body) if stored.body else None
    return Response(body, status=stored.status, headers={REPLAYED_HEADER: "true"})


def _complete(view: ResourceView, key: str, response: Response) -> None:
    kept = idempotency.Answer(status=response.status_code, body=orjson.dumps(_kept(response)))
    idempotency.complete(scope=view.scope, key=key, answer=kept)


def _kept(response: Response) -> Any:
    """What is stored for replays: the answer without the fields that are shown once."""
    if isinstance(response, ShownOnce):
        return {**response.data, **dict.fromkeys(response.fields)}
    return response.data


def _fingerprint(request: Request) -> bytes:
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode())
    data = request.data
    files = request.FILES if hasattr(data, "getlist") else None
    if files is None:
        digest.update(orjson.dumps(data, option=orjson.OPT_SORT_KEYS))
        return digest.digest()
    digest.update(orjson.dumps(sorted(request.POST.lists())))
    for name, uploads in sorted(files.lists()):
        for upload in uploads:
            digest.update(orjson.dumps([name, upload.name, upload.size]))
            for chunk in upload.chunks():
                digest.update(chunk)
            upload.seek(0)
    return digest.digest()
