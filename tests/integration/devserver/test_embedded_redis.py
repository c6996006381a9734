"""The embedded Redis: adopted, behind a password, with nothing on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from octavo.devserver.redis import RedisServer, ensure_redis


@pytest.fixture
def server(data_dir: Path) -> Iterator[RedisServer]:
    started = ensure_redis(data_dir)
    yield started
    started.stop()


def test_a_server_that_runs_is_adopted(server: RedisServer, data_dir: Path) -> None:
    again = ensure_redis(data_dir)
    assert (again.adopted, again.pid, again.address) == (True, server.pid, server.address)


def test_it_asks_for_the_password_and_saves_nothing(server: RedisServer, data_dir: Path) -> None:
    with (
        redis.Redis(port=server.address.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    with redis.Redis.from_url(server.address.url(7)) as client:
        client.set("a", "1")
        assert client.config_get("save") == {"save": ""}
    assert (data_dir / "redis" / "redis.conf").stat().st_mode & 0o777 == 0o600


def test_a_stopped_server_comes_back_at_the_same_address(
    server: RedisServer, data_dir: Path
) -> None:
    server.stop()
    again = ensure_redis(data_dir)
    assert (again.adopted, again.address) == (False, server.address)
