"""The web process over real HTTP: streams, waits, probes, static files, and limits on bodies."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import redis

from tests.integration.inference import upstream as scripted


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Web:
    url: str
    key: str
    process: Any

    def connect(self) -> http.client.HTTPConnection:
        address = urlsplit(self.url)
        return http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(self.connect()) as connection:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(status=answer.status, headers=found, body=answer.read())

    @contextmanager
    def stream(self, path: str, **headers: str) -> Iterator["Stream"]:
        with closing(self.connect()) as connection:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.key}", **sent})
            yield Stream(connection.getresponse())


class Stream:
    """Server-sent events as a browser would read them."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.answer = answer

    def next(self) -> dict[str, str] | None:
        """The next event or comment; None at the end of the stream."""
        event: dict[str, str] = {}
        while line := self.answer.readline().decode():
            if line == "\n" and event:
                return event
            name, _, value = line.rstrip("\n").partition(": ")
            event[name or "comment"] = value
        return event or None

    def until(self, kind: str) -> list[dict[str, str]]:
        seen = []
        while event := self.next():
            seen.append(event)
            if event.get("event") == kind:
                return seen
        raise AssertionError(f"the stream ended before {kind}: {seen}")

    def rest(self) -> list[dict[str, str]]:
        return list(iter(self.next, None))


@pytest.fixture
def web(key: str, processes: Any) -> Web:
    process = processes.web()
    return Web(url=process.url, key=key, process=process)


@pytest.fixture
def start(web: Web, agent: str) -> Callable[..., str]:
    def begin(**more: Any) -> str:
        body = orjson.dumps({"agent": agent, "input": "Hello?", **more})
        run_id: str = web.send("POST", "/api/v1/runs", body).json()["id"]
        return run_id

    return begin


def test_a_stream_follows_a_run_to_its_end_with_tokens_on_the_way(
    web: Web, start: Callable[..., str], advance: Callable[[str], None]
) -> None:
    run_id = start()
    with web.stream(f"/api/v1/runs/{run_id}/events") as stream:
        assert stream.answer.status == 200
        assert stream.answer.headers["Content-Type"].startswith("text/event-stream")
        assert stream.answer.headers["Cache-Control"] == "no-store"
        first = stream.next()
        assert first is not None
        assert (first["id"], first["event"]) == ("1", "run_started")
        advance(run_id)
        events = [first, *stream.rest()]
    journal = [event for event in events if "id" in event]
    assert [int(event["id"]) for event in journal] == list(range(1, len(journal) + 1))
    assert journal[-1]["event"] == "run_succeeded"
    assert orjson.loads(journal[-1]["data"])["data"]["output"]["text"] == scripted.TEXT
    deltas = [orjson.loads(e["data"])["text"] for e in events if e.get("event") == "delta"]
    assert "".join(deltas) == scripted.TEXT


def test_a_stream_resumes_after_the_last_event_and_then_says_it_is_over(
    web: Web, start: Callable[..., str], advance: Callable[[str], None]
) -> None:
    run_id = start()
    advance(run_id)
    path = f"/api/v1/runs/{run_id}/events"
    with web.stream(path) as stream:
        whole = stream.rest()
    with web.stream(path, Last_Event_ID="1") as stream:
        assert stream.rest() == whole[1:]
    with web.stream(f"{path}?after=1") as stream:
        assert stream.rest() == whole[1:]
    assert web.send("GET", path, Last_Event_ID=whole[-1]["id"]).status == 204
    refused = web.send("GET", path, Last_Event_ID="x")
    assert (refused.status, refused.headers["content-type"]) == (422, "application/problem+json")
    assert web.send("GET", path, Authorization="Bearer oct_wrong").status == 401


def test_a_stream_goes_on_over_a_killed_web_process_without_gap_or_repeat(
    web: Web, start: Callable[..., str], advance: Callable[[str], None], processes: Any
) -> None:
    run_id = start()
    path = f"/api/v1/runs/{run_id}/events"
    with web.stream(path) as stream:
        first = stream.next()
        web.process.kill()
    assert first is not None
    advance(run_id)  # what happened while nobody listened
    processes.web(port=urlsplit(web.url).port, timeout=120)
    with web.stream(path, Last_Event_ID=first["id"]) as stream:
        journal = [first, *(event for event in stream.rest() if "id" in event)]
    assert [int(event["id"]) for event in journal] == list(range(1, len(journal) + 1))
    assert journal[-1]["event"] == "run_succeeded"


def test_a_page_says_that_the_database_is_away(processes: Any, free_port: int) -> None:
    away = f"postgresql://nobody:x@127.0.0.1:{free_port}/nothing"
    process = processes.web(timeout=120, DATABASE_URL=away, OCTAVO_DATABASE_OWNER_URL=away)
    lost = Web(url=process.url, key="", process=process)
    answer = lost.send("GET", "/", Cookie=f"octavo_session={'a' * 32}; octavo_theme=dark")
    assert answer.status == 503
    page = answer.body.decode()
    assert "The database did not answer" in page
    assert 'data-theme="dark"' in page


def test_a_stream_goes_on_without_redis(
    web: Web, start: Callable[..., str], advance: Callable[[str], None], redis_url: str
) -> None:
    run_id = start()
    with web.stream(f"/api/v1/runs/{run_id}/events") as stream:
        stream.until("run_started")
        with redis.Redis.from_url(redis_url) as client:
            client.client_kill_filter(_type="pubsub", skipme=True)
        advance(run_id)
        assert stream.rest()[-1]["event"] == "run_succeeded"


def test_many_viewers_hold_no_database_connection(
    web: Web, start: Callable[..., str], advance: Callable[[str], None], postgres: Any
) -> None:
    run_id = start()
    viewers = 40
    seen: list[str] = []
    watching = threading.Barrier(viewers + 1)

    def view() -> None:
        with web.stream(f"/api/v1/runs/{run_id}/events") as stream:
            stream.until("run_started")
            watching.wait(20)
            seen.append(stream.rest()[-1]["event"])

    threads = [threading.Thread(target=view) for _ in range(viewers)]
    for thread in threads:
        thread.start()
    watching.wait(20)
    assert web.send("GET", f"/api/v1/runs/{run_id}").status == 200
    assert _busy_sessions(postgres) == 0
    advance(run_id)
    for thread in threads:
        thread.join(20)
    assert seen == ["run_succeeded"] * viewers


def _busy_sessions(postgres: Any) -> int:
    import psycopg

    with psycopg.connect(postgres.superuser_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND usename = 'octavo_app' AND state <> 'idle'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_wait_ends_when_the_run_does(
    web: Web, agent: str, advance: Callable[[str], None]
) -> None:
    from apps.orchestration.models import Run
    from octavo.kernel import ids

    body = orjson.dumps({"agent": agent, "input": "Hello?", "wait_seconds": 30})
    replies: list[Reply] = []
    thread = threading.Thread(
        target=lambda: replies.append(web.send("POST", "/api/v1/runs", body, Idempotency_Key="k"))
    )
    began = time.monotonic()
    thread.start()
    deadline = began + 10
    while not Run.objects.exists() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    advance(ids.encode(ids.Kind.RUN, Run.objects.get().id))
    thread.join(20)
    assert time.monotonic() - began < 10
    assert replies[0].json()["output"]["text"] == scripted.TEXT
    again = web.send("POST", "/api/v1/runs", body, Idempotency_Key="k")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == replies[0].json()


def test_probes_need_no_key_and_tell_what_is_down(web: Web, processes: Any) -> None:
    assert web.send("GET", "/healthz", Host="10.0.0.9").json() == {"status": "ok"}
    ready = web.send("GET", "/readyz", Host="10.0.0.9")
    assert ready.status == 200
    assert (ready.json()["database"], ready.json()["redis"]) == ("ok", "ok")
    web.send("GET", "/api/v1/agents")
    metrics = web.send("GET", "/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'octavo_http_requests_total{method="GET",route="/api/v1/agents"' in metrics.body
    assert web.send("POST", "/healthz", b"").status == 405
    lame = processes.web(REDIS_URL="redis://127.0.0.1:1/0")
    degraded = Web(url=lame.url, key=web.key, process=lame).send("GET", "/readyz")
    assert (degraded.status, degraded.json()["redis"]) == (200, "down")
    dead = processes.web(DATABASE_URL="postgresql://octavo_app@127.0.0.1:1/none")
    unready = Web(url=dead.url, key=web.key, process=dead)
    assert unready.send("GET", "/readyz").status == 503


def test_static_files_are_served_and_revalidated(web: Web) -> None:
    first = web.send("GET", "/static/console/console.css")
    assert first.status == 200
    assert first.headers["content-type"].startswith("text/css")
    assert first.headers["x-content-type-options"] == "nosniff"
    since = first.headers["last-modified"]
    again = web.send("GET", "/static/console/console.css", If_Modified_Since=since)
    assert (again.status, again.body) == (304, b"")
    assert web.send("HEAD", "/static/console/run.js").body == b""
    assert web.send("GET", "/static/nothing.css").status == 404
    assert web.send("GET", "/static/../manage.py").status == 404


@pytest.fixture
def small(processes: Any, key: str) -> Web:
    """A process that takes bodies and files of a thousand bytes."""
    process = processes.web(OCTAVO_MAX_BODY_BYTES="1000", OCTAVO_MAX_FILE_BYTES="1000")
    return Web(url=process.url, key=key, process=process)


def test_bodies_are_bounded_before_they_are_kept(small: Web) -> None:
    web = small
    big = web.send("POST", "/api/v1/runs", b"x" * 2000)
    assert (big.status, big.headers["content-type"]) == (413, "application/problem+json")
    assert "OCTAVO_MAX_BODY_BYTES" in big.json()["detail"]
    with closing(web.connect()) as connection:
        connection.putrequest("POST", "/api/v1/runs")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        connection.send(b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n")
        assert connection.getresponse().status == 413


UPLOAD = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("path", "credential", "allowed"),
    [
        ("/login", "Bearer x", False),
        ("/api/v1/runs", "Bearer x", False),
        ("/api/v1/spaces/a/ingest", "", False),
        ("/api/v1/spaces/a/ingest", "Bearer x", True),
        ("/api/v1/spaces/a/entries/b/c.pdf", "", False),
        ("/api/v1/spaces/a/entries/b/c.pdf", "Bearer x", True),
    ],
)
def test_a_large_form_is_taken_only_where_files_are_kept(
    small: Web, path: str, credential: str, allowed: bool
) -> None:
    with closing(small.connect()) as connection:
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", UPLOAD)
        connection.putheader("Content-Length", "2000")
        if credential:
            connection.putheader("Authorization", credential)
        connection.endheaders()
        if allowed:
            connection.send(b"x" * 2000)
        assert connection.getresponse().status == (401 if allowed else 413)


def test_a_stream_ends_when_its_key_is_revoked(
    web: Web, start: Callable[..., str], api: Any, advance: Callable[[str], None]
) -> None:
    issued = api.post("keys", {"name": "viewer", "scopes": ["run.read"]}).body
    run_id = start()
    viewer = f"Bearer {issued['key']}"
    with web.stream(f"/api/v1/runs/{run_id}/events", Authorization=viewer) as stream:
        stream.until("run_started")
        assert web.send("DELETE", f"/api/v1/keys/{issued['id']}").status == 200
        advance(run_id)
        assert [event for event in stream.rest() if "id" in event] == []


def test_a_stream_ends_when_its_session_is_signed_out(
    web: Web, start: Callable[..., str], installation: Any, advance: Callable[[str], None]
) -> None:
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.test import Client

    browser = Client(headers={"Host": "localhost"})
    browser.force_login(get_user_model().objects.get(email=installation.admin_email))
    name = settings.SESSION_COOKIE_NAME
    cookie = f"{name}={browser.cookies[name].value}"
    run_id = start()
    with web.stream(f"/api/v1/runs/{run_id}/events", Authorization="", Cookie=cookie) as stream:
        stream.until("run_started")
        browser.logout()
        advance(run_id)
        assert [event for event in stream.rest() if "id" in event] == []


def test_the_process_stops_promptly_with_a_stream_open(web: Web, start: Callable[..., str]) -> None:
    run_id = start()
    with web.stream(f"/api/v1/runs/{run_id}/events") as stream:
        stream.until("run_started")
        began = time.monotonic()
        assert web.process.stop() in {0, -15}
        assert time.monotonic() - began < 4
    assert "Traceback" not in web.process.log.read_text()
