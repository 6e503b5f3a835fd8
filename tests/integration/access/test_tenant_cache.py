"""The tenant's cache: what it returns and forgets, whom it keeps waiting, and that it is never needed."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import redis

from models.tenant_cache import LARGEST_VALUE, MAKING, Namespace, TenantCache
from ops.port import free_port
from tests.support.wait import wait_until

LASTS = timedelta(seconds=60)


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def cache(server: redis.Redis) -> TenantCache:
    return TenantCache(server)


@pytest.fixture
def answers() -> Namespace:
    return Namespace(uuid4(), "answers")


class Maker:
    """Makes a new value each time, and counts."""

    def __init__(self, *, takes: float = 0.0) -> None:
        self.made = 0
        self._takes = takes
        self._lock = threading.Lock()

    def __call__(self) -> bytes:
        with self._lock:
            self.made += 1
            value = f"value {self.made}".encode()
        time.sleep(self._takes)
        return value


def test_what_was_made_once_is_remembered_until_it_expires(cache: TenantCache, answers: Namespace) -> None:
    make = Maker()
    assert [cache.get_or_make(answers, "q", make, lasts=LASTS) for _ in range(3)] == [b"value 1"] * 3
    assert cache.get_or_make(answers, "another", make, lasts=timedelta(milliseconds=30)) == b"value 2"
    wait_until(lambda: cache.get(answers, "another") is None)
    assert cache.get(answers, "q") == b"value 1"
    cache.set(answers, "q", b"given", lasts=LASTS)
    assert cache.get(answers, "q") == b"given"


def test_every_key_begins_with_its_tenant_and_names_no_question(
    cache: TenantCache, answers: Namespace, server: redis.Redis
) -> None:
    cache.get_or_make(answers, "a person's words", Maker(), lasts=LASTS)
    keys = list(server.scan_iter())
    assert keys
    assert all(key.startswith(f"tenant:{answers.organization_id}:".encode()) for key in keys)
    assert not any(b"person" in key for key in keys)
    assert all(server.ttl(key) > 0 for key in keys), "nothing stays for ever"


def test_invalidation_forgets_one_namespace_of_one_tenant(cache: TenantCache, answers: Namespace) -> None:
    others = [Namespace(answers.organization_id, "usage"), Namespace(uuid4(), "answers")]
    for namespace in (answers, *others):
        cache.set(namespace, "q", b"old", lasts=LASTS)
    assert cache.invalidate(answers)
    assert cache.get(answers, "q") is None
    assert [cache.get(namespace, "q") for namespace in others] == [b"old", b"old"]


def test_what_was_read_before_a_change_is_not_remembered_after_it(
    cache: TenantCache, answers: Namespace
) -> None:
    def make_while_it_changes() -> bytes:
        cache.invalidate(answers)
        return b"old"

    assert cache.get_or_make(answers, "q", make_while_it_changes, lasts=LASTS) == b"old"
    assert cache.get(answers, "q") is None


def test_a_generation_that_was_lost_brings_nothing_back(
    cache: TenantCache, answers: Namespace, server: redis.Redis
) -> None:
    cache.set(answers, "q", b"old", lasts=LASTS)
    cache.invalidate(answers)
    server.delete(f"{answers.prefix}generation")
    assert cache.get(answers, "q") is None


def test_of_many_who_ask_at_once_one_makes_it(redis_url: str, answers: Namespace) -> None:
    make = Maker(takes=0.1)

    def ask(_: int) -> bytes:
        with redis.Redis.from_url(redis_url) as client:
            patient = TenantCache(client, clock=lambda: 0.0)  # how long one waits at most is asked elsewhere
            return patient.get_or_make(answers, "q", make, lasts=LASTS)

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(ask, range(20))) == {b"value 1"}
    assert make.made == 1


def test_nobody_waits_long_for_one_who_does_not_come_back(
    cache: TenantCache, answers: Namespace, server: redis.Redis
) -> None:
    def fail() -> bytes:
        raise RuntimeError

    def vanish() -> bytes:
        began = time.monotonic()
        assert cache.get_or_make(answers, "q", Maker(), lasts=LASTS) == b"value 1"
        assert time.monotonic() - began < MAKING.total_seconds()
        return b"late"

    assert cache.get_or_make(answers, "q", vanish, lasts=LASTS) == b"late"
    with pytest.raises(RuntimeError):
        cache.get_or_make(answers, "failing", fail, lasts=LASTS)
    assert list(server.scan_iter("*:making")) == [], (
        "who failed has let go, and the next one waits for nobody"
    )
    assert cache.get_or_make(answers, "failing", Maker(), lasts=LASTS) == b"value 1"


def test_a_value_that_is_too_large_is_made_each_time(cache: TenantCache, answers: Namespace) -> None:
    def make() -> bytes:
        return b"x" * (LARGEST_VALUE + 1)

    assert cache.get_or_make(answers, "q", make, lasts=LASTS)
    assert cache.get(answers, "q") is None


def test_without_redis_everything_is_made_and_the_dead_server_is_left_alone(answers: Namespace) -> None:
    now = [0.0]
    asked: list[float] = []

    class Away(redis.Redis):
        def execute_command(self, *_: object, **__: object) -> object:
            asked.append(now[0])
            raise redis.ConnectionError

    cache = TenantCache(Away(port=free_port()), clock=lambda: now[0])
    make = Maker()
    for moment in (0.0, 0.5, 0.9, 1.1):
        now[0] = moment
        cache.get_or_make(answers, "q", make, lasts=LASTS)
        assert cache.get(answers, "q") is None
        assert not cache.invalidate(answers)
    assert make.made == 4
    assert set(asked) == {0.0, 1.1}


def test_no_tenant_reads_anothers_value_whatever_it_asks(cache: TenantCache, answers: Namespace) -> None:
    cache.set(answers, "q", b"secret", lasts=LASTS)
    other = Namespace(UUID(int=answers.organization_id.int + 1), "answers")
    for name in ("q", f"../{answers.organization_id}:answers:q", "*", f"{answers.prefix}q"):
        assert cache.get(other, name) is None
