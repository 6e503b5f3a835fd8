"""The API's rate limit: per organization and per user, in Redis, and without it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from sqlalchemy import update

from config.plans import Limit
from config.settings import Settings
from intake.gcra import HOUR_US, LocalRates, Rate, Reading, SharedRates
from intake.rate_limit import RateLimit, TooManyCallsError, open_redis
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from tests.integration.intake.conftest import serving
from tests.integration.intake.problems import refused
from tests.support.proxy import Proxy

Headers = dict[str, str]
Limited = Callable[..., Tenant]
URL = "/api/v1/campaigns"
CALLS = 20
OF_ONE_USER = 16


@pytest.fixture
def limited(organization: Callable[..., Tenant], database: Database) -> Limited:
    """Make an organization that may make so many calls an hour."""

    def make(calls: int = CALLS) -> Tenant:
        tenant = organization(plan="starter")
        limits = {"limits": {"api_calls_hour": {"amount": calls}}}
        with tenant_session(database, tenant.organization_id) as session:
            session.execute(update(Organization).values(plan_overrides=limits))
        return tenant

    return make


def call_until_refused(client: httpx.Client, headers: Headers) -> list[httpx.Response]:
    answers: list[httpx.Response] = []
    while len(answers) < 2 * CALLS and (not answers or answers[-1].status_code == 200):
        answers.append(client.get(URL, headers=headers))
    return answers


def test_every_answer_says_what_is_left_and_the_one_too_many_is_refused(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    *passed, last = call_until_refused(client, sign(limited()))
    assert len(passed) == OF_ONE_USER
    assert [int(answer.headers["ratelimit-remaining"]) for answer in passed] == [*range(15, -1, -1)]
    assert {answer.headers["ratelimit-limit"] for answer in passed} == {str(OF_ONE_USER)}
    assert 0 < int(passed[0].headers["ratelimit-reset"]) <= 225
    assert "retry-after" not in passed[-1].headers
    document = refused(last, 429)
    assert document["type"].endswith("too-many-requests")
    assert (document["scope"], document["limit"], document["meter"]) == (
        "user",
        OF_ONE_USER,
        "api_calls_hour",
    )
    assert 0 < int(last.headers["retry-after"]) <= 225
    assert last.headers["ratelimit-remaining"] == "0"
    assert int(last.headers["ratelimit-reset"]) > 3_000


def test_two_users_share_the_organizations_rate_and_neither_takes_it_all(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    tenant = limited()
    ann, bob = sign(tenant, user_id="ann"), sign(tenant, user_id="bob")
    *of_ann, refused_ann = call_until_refused(client, ann)
    *of_bob, refused_bob = call_until_refused(client, bob)
    assert (len(of_ann), refused(refused_ann, 429)["scope"]) == (OF_ONE_USER, "user")
    assert (len(of_bob), refused(refused_bob, 429)["scope"]) == (CALLS - OF_ONE_USER, "organization")


def test_another_organization_is_not_held_up(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    call_until_refused(client, sign(limited(1), user_id="ann"))
    assert client.get(URL, headers=sign(limited(), user_id="ann")).status_code == 200


def test_of_many_at_once_exactly_so_many_pass(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    headers = sign(limited())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.get(URL, headers=headers), range(48)))
    assert sorted(answer.status_code for answer in answers) == [200] * OF_ONE_USER + [429] * 32


def test_a_refused_call_does_nothing(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    tenant = limited()
    other = sign(tenant, user_id="other")
    headers = sign(tenant)
    call_until_refused(client, headers)
    refused(client.post(URL, json={"name": "Late"}, headers=headers), 429)
    assert client.get(URL, headers=other).json()["items"] == []


def test_health_and_calls_without_a_token_are_not_counted(client: httpx.Client) -> None:
    for answer in (client.get("/healthz"), client.get(URL)):
        assert not [name for name in answer.headers if name.startswith("ratelimit")]


def test_no_name_of_a_user_stands_in_redis(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers], settings: Settings
) -> None:
    tenant = limited()
    client.get(URL, headers=sign(tenant, user_id="ann@example.org"))
    with redis.Redis.from_url(str(settings.redis_url)) as connection:
        keys = [
            key for key in connection.keys("genius:rate:*") if str(tenant.organization_id).encode() in key
        ]
        lives = [connection.pttl(key) for key in keys]
    assert len(keys) == 2
    assert b"ann" not in b"".join(keys)
    assert all(0 < life <= 225_000 for life in lives), "a key goes when its calls are back"


@pytest.fixture
def without_redis(settings: Settings) -> Iterator[httpx.Client]:
    away = settings.model_validate(settings.model_dump() | {"redis_url": "redis://127.0.0.1:1/0"})
    with serving(away) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def test_without_redis_the_process_counts_by_itself(
    without_redis: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    *passed, last = call_until_refused(without_redis, sign(limited()))
    assert len(passed) == OF_ONE_USER
    refused(last, 429)
    assert 0 < int(last.headers["retry-after"]) <= 225


def redis_port(settings: Settings) -> int:
    port = settings.redis_url.port
    assert port is not None
    return port


def test_a_redis_that_falls_silent_and_comes_back_is_left_and_returned_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intake.rate_limit.PATIENCE", timedelta(seconds=2))
    clock = [0.0]

    async def go(proxy: Proxy) -> None:
        client = open_redis(str(settings.redis_url).replace(f":{redis_port(settings)}/", f":{proxy.port}/"))
        limit = RateLimit(client, clock=lambda: clock[0])
        whose = uuid4()

        async def left() -> int:
            paces = await limit.admit(whose, "ann", Limit(CALLS))
            return paces[0].reading.left

        assert await left() == CALLS - 1
        proxy.cut()
        assert await left() == CALLS - 1, "counted here, from the beginning"
        proxy.restore_for_new_connections()
        assert await left() == CALLS - 2, "it rests, and still counts here"
        clock[0] += 1.0
        assert await left() == CALLS - 2, "Redis knows of one call before the cut"
        await client.aclose()

    with Proxy(redis_port(settings)) as proxy:
        asyncio.run(go(proxy))


Act = Callable[[dict[str, Rate]], Awaitable[list[Reading]]]


def with_rates(settings: Settings, act: Callable[[SharedRates], Awaitable[None]]) -> None:
    async def go() -> None:
        client = open_redis(str(settings.redis_url))
        try:
            await act(SharedRates(client))
        finally:
            await client.aclose()

    asyncio.run(go())


def test_redis_and_memory_say_the_same(settings: Settings) -> None:
    """An hour's calls at once: no time passes that would show."""
    rates = {f"{{t}}:{uuid4()}:{calls}": Rate(calls) for calls in (7, 4, 0)}
    some = dict(list(rates.items())[:2])

    async def act(shared: SharedRates) -> None:
        local = LocalRates()
        for asked in (some, some, rates, some, some, some, some):
            here, there = local.take(asked), await shared.take(asked)
            for one, other in zip(here, there, strict=True):
                assert one.left == other.left
                assert abs(one.wait - other.wait) < timedelta(minutes=1)
                assert abs(one.full_after - other.full_after) < timedelta(minutes=1)

    with_rates(settings, act)


def test_calls_come_back_at_the_even_pace(settings: Settings) -> None:
    key, rate = f"{{t}}:{uuid4()}", Rate(HOUR_US // 50_000)

    async def act(shared: SharedRates) -> None:
        began = time.monotonic_ns()
        readings = [(await shared.take({key: rate}))[0] for _ in range(3)]
        meanwhile = (time.monotonic_ns() - began) // 1_000 // rate.interval_us + 1
        assert rate.calls - 3 <= readings[-1].left <= min(rate.calls - 3 + meanwhile, rate.calls - 1)
        await asyncio.sleep(readings[-1].full_after.total_seconds())
        assert (await shared.take({key: rate}))[0].left == rate.calls - 1

    with_rates(settings, act)


def test_an_organization_without_a_limit_is_not_counted(settings: Settings) -> None:
    async def go() -> Any:
        client = open_redis("redis://127.0.0.1:1/0")
        try:
            return await RateLimit(client).admit(UUID(int=1), "ann", None)
        finally:
            await client.aclose()

    assert asyncio.run(go()) == []


def test_a_soft_limit_lets_a_tenth_more_pass(settings: Settings) -> None:
    async def go() -> int:
        client = open_redis(str(settings.redis_url))
        limit, whose, passed = RateLimit(client), uuid4(), 0
        try:
            for number in range(40):
                await limit.admit(whose, str(number), Limit(10, hard=False))
                passed += 1
        except TooManyCallsError:
            return passed
        finally:
            await client.aclose()
        return passed

    assert asyncio.run(go()) == 11
