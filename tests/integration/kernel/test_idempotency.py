"""One key, one answer: whoever asks again gets the first one, and nothing happens twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import UUID

import pytest
from django.db import connections

from octavo.kernel import ids
from octavo.kernel.clock import now
from octavo.kernel.errors import Conflict
from octavo.kernel.idempotency import Answer, abandon, claim, complete, prune
from octavo.kernel.models import IdempotencyKey
from octavo.kernel.scope import SYSTEM, Principal, PrincipalKind, Scope

PRINT = b"fingerprint"
ANSWER = Answer(status=201, body=b'{"id": "run_1"}')


def scope(principal: Principal = SYSTEM, project: UUID | None = None) -> Scope:
    ground = project or UUID(int=1)
    return Scope(organisation_id=ground, team_id=ground, project_id=ground, principal=principal)


def somebody() -> Principal:
    return Principal(kind=PrincipalKind.USER, id=ids.new(), name="somebody")


def test_the_second_request_gets_the_answer_of_the_first() -> None:
    assert claim(scope=scope(), key="a", fingerprint=PRINT) is None
    complete(scope=scope(), key="a", answer=ANSWER)
    assert claim(scope=scope(), key="a", fingerprint=PRINT) == ANSWER


def test_the_same_key_for_another_request_is_a_conflict() -> None:
    claim(scope=scope(), key="a", fingerprint=PRINT)
    complete(scope=scope(), key="a", answer=ANSWER)
    with pytest.raises(Conflict, match="different request"):
        claim(scope=scope(), key="a", fingerprint=b"other")


def test_a_request_that_is_under_way_is_not_done_twice() -> None:
    claim(scope=scope(), key="a", fingerprint=PRINT)
    with pytest.raises(Conflict, match="under way"):
        claim(scope=scope(), key="a", fingerprint=PRINT)


def test_a_request_that_failed_may_be_tried_again() -> None:
    claim(scope=scope(), key="a", fingerprint=PRINT)
    abandon(scope=scope(), key="a")
    assert claim(scope=scope(), key="a", fingerprint=PRINT) is None


def test_an_answer_is_not_forgotten_by_abandoning() -> None:
    claim(scope=scope(), key="a", fingerprint=PRINT)
    complete(scope=scope(), key="a", answer=ANSWER)
    abandon(scope=scope(), key="a")
    assert claim(scope=scope(), key="a", fingerprint=PRINT) == ANSWER


def test_answers_are_forgotten_after_a_day() -> None:
    for key in ("old", "new"):
        claim(scope=scope(), key=key, fingerprint=PRINT)
        complete(scope=scope(), key=key, answer=ANSWER)
    yesterday = now() - timedelta(days=1, seconds=1)
    IdempotencyKey.objects.filter(key="old").update(created_at=yesterday)
    assert prune() == 1
    assert claim(scope=scope(), key="new", fingerprint=PRINT) == ANSWER
    assert claim(scope=scope(), key="old", fingerprint=b"other") is None


def test_keys_of_other_principals_and_projects_are_other_keys() -> None:
    first = scope(somebody())
    claim(scope=first, key="a", fingerprint=PRINT)
    complete(scope=first, key="a", answer=ANSWER)
    assert claim(scope=scope(somebody()), key="a", fingerprint=b"other") is None
    elsewhere = scope(first.principal, UUID(int=2))
    assert claim(scope=elsewhere, key="a", fingerprint=b"other") is None


def test_of_many_requests_at_once_one_does_the_work() -> None:
    together = Barrier(8)

    def attempt(_: int) -> str:
        together.wait(5)
        try:
            return "works" if claim(scope=scope(), key="a", fingerprint=PRINT) is None else "replay"
        except Conflict:
            return "refused"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(8)))
    assert outcomes.count("works") == 1
    assert outcomes.count("refused") == 7
