"""What a look at the lanes shows: sums by plan, a few tenants by name, and who got less than its share."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest
from redis.backoff import NoBackoff
from redis.retry import Retry

from intake.lane_metrics import LaneCollector
from models.organization import Tenant
from models.session import Database, RelayDatabase
from tests.integration.fairshare.conftest import ManualClock
from tests.integration.observability.exposition import samples, value
from worker.fairshare.queue import Entry, FairQueue, Finish, Outcome, TenantSettings
from worker.metrics import lanes
from worker.metrics.lanes import Watch, last_look, shares_of, watch_lanes


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def queue(
    client: redis.Redis, tenant: str, count: int, *, weight: float = 1, age: timedelta = timedelta(0)
) -> None:
    """Queue jobs that have waited for *age*."""
    lane = FairQueue(client, "scoring", clock=lambda: int((datetime.now(UTC) - age).timestamp() * 1e6))
    settings = TenantSettings(weight=weight).to_json()
    lane.enqueue(
        [Entry(f"{tenant}-{n}", "{}", tenant, "leads.score", settings=settings) for n in range(count)]
    )


def test_a_look_sums_by_plan_and_names_who_waits_longest(client: redis.Redis) -> None:
    for n in reversed(range(30)):  # the clock of a lane never goes back
        queue(client, f"t{n}", 2, age=timedelta(seconds=n))
    plans = {f"t{n}": "starter" if n % 2 else "enterprise" for n in range(29)}
    scoring = Watch(client, lambda: plans, named=3).look()["lanes"]["scoring"]
    assert (scoring["total"]["waiting"], scoring["total"]["tenants"]) == (60, 30)
    assert {plan: group["waiting"] for plan, group in scoring["plans"].items()} == {
        "enterprise": 30,
        "starter": 28,
        "unknown": 2,
    }
    assert 29 <= scoring["total"]["oldest_s"] < 40
    assert {"t29", "t28", "t27"} <= {tenant["tenant"] for tenant in scoring["busiest"]}
    assert len(scoring["busiest"]) <= 6


def test_shares_are_those_that_were_got_between_two_looks(client: redis.Redis) -> None:
    queue(client, "small", 50)
    queue(client, "large", 50, weight=3)
    watch = Watch(client, dict, named=2, window_s=0.0)
    watch.look()
    clock = ManualClock()
    lane = FairQueue(client, "scoring", clock=clock)
    for _ in range(40):
        for job in lane.reserve(1):
            clock.pass_by(seconds=1)
            lane.finish([Finish(job.token, Outcome.ACK)])
    scoring = watch.look()["lanes"]["scoring"]
    shares = {tenant["tenant"]: (tenant["entitled"], tenant["received"]) for tenant in scoring["busiest"]}
    assert shares["large"][0] == pytest.approx(0.75)
    assert shares["large"][1] == pytest.approx(0.75, abs=0.06)
    assert shares["small"][1] == pytest.approx(0.25, abs=0.06)
    assert scoring["shortfall"] < 0.25


def test_who_gets_less_than_its_share_shows() -> None:
    shares = shares_of({}, {"a": 90.0, "b": 10.0, "idle": 50.0}, {"a": 1, "b": 1})
    assert shares.shortfall == pytest.approx(0.8)
    assert shares_of({}, {"a": 0.9, "b": 0.1}, {"a": 1, "b": 1}).shortfall == 0  # too little to tell


@pytest.fixture(autouse=True)
def _another_process() -> Iterator[None]:
    """Look with the Redis of this test."""
    lanes._watch.cache_clear()  # noqa: SLF001 - once a process
    yield
    lanes._watch.cache_clear()  # noqa: SLF001


def test_beats_take_turns_and_keep_what_they_saw(
    client: redis.Redis,
    relay_database: RelayDatabase,
    database: Database,
    organization: Callable[..., Tenant],
) -> None:
    tenant = organization(plan="starter")
    queue(client, str(tenant.organization_id), 3)
    assert watch_lanes(relay_database, database) == 5
    assert watch_lanes(relay_database, database) == 0
    seen = last_look(client)
    assert seen is not None
    assert seen["lanes"]["scoring"]["plans"]["starter"]["waiting"] == 3


def exposed(client: redis.Redis, *, names: bool) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LaneCollector(client, names=names))
    return generate_latest(registry).decode()


def test_tenants_are_named_only_to_who_may_know_them(
    client: redis.Redis, relay_database: RelayDatabase, database: Database
) -> None:
    queue(client, "acme", 3)
    watch_lanes(relay_database, database)
    assert value(samples(exposed(client, names=True)), "genius_tenant_waiting", tenant="acme") == 3
    assert "acme" not in exposed(client, names=False)
    assert value(samples(exposed(client, names=False)), "genius_lane_waiting", lane="scoring") == 3


def test_without_redis_only_that_is_told() -> None:
    with redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as away:
        assert samples(exposed(away, names=True))[0].value == 0
        assert "genius_lane" not in exposed(away, names=True)
