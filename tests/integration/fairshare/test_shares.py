"""Who gets how much worker time, with real workers."""

import json

from tests.integration.fairshare.plain_app import PlainApp
from tests.support.wait import wait_until
from worker.fairshare.queue import TenantSettings


def shares(app: PlainApp, *tenants: str) -> list[float]:
    got = [app.seconds(tenant) for tenant in tenants]
    return [seconds / sum(got) for seconds in got]


def flood(app: PlainApp, tenant: str, *, jobs: int, seconds: float, weight: float = 1) -> None:
    with app.app.producer_pool.acquire() as producer, producer.batch(200):
        for i in range(jobs):
            app.work(f"{tenant}/{i}", seconds, producer=producer, headers={"fair": {"weight": weight}})


def test_long_jobs_get_no_more_time_than_short_ones(plain_app: PlainApp) -> None:
    flood(plain_app, "long", jobs=200, seconds=0.34)
    flood(plain_app, "short", jobs=3000, seconds=0.01)
    plain_app.worker("threads", 4)
    wait_until(lambda: plain_app.seconds("long") + plain_app.seconds("short") > 20, 60)
    long, short = shares(plain_app, "long", "short")
    # The sleep is not all that a job costs its worker: a short job's overhead counts too.
    used = {stats.tenant: stats.used.total_seconds() for stats in plain_app.lane().stats()}
    assert abs(used["long"] / sum(used.values()) - 0.5) < 0.03
    assert abs(long - short) < 0.2


def test_worker_time_follows_the_weights(plain_app: PlainApp) -> None:
    for tenant, weight in (("one", 1), ("two", 2), ("five", 5)):
        flood(plain_app, tenant, jobs=1500, seconds=0.02, weight=weight)
    plain_app.worker("threads", 4)
    wait_until(lambda: sum(plain_app.seconds(tenant) for tenant in ("one", "two", "five")) > 24, 60)
    got = shares(plain_app, "one", "two", "five")
    assert [round(share, 2) for share in got] == [
        _near(share, expected) for share, expected in zip(got, (0.125, 0.25, 0.625), strict=True)
    ], json.dumps(got)


def _near(share: float, expected: float) -> float:
    return round(share, 2) if abs(share - expected) < 0.02 else expected


def test_a_quiet_tenant_does_not_wait_for_a_flood(plain_app: PlainApp) -> None:
    flood(plain_app, "loud", jobs=2000, seconds=0.02)
    plain_app.worker("threads", 2)
    wait_until(lambda: len(plain_app.done()) > 20)
    plain_app.work("quiet/1")
    before = len(plain_app.began())
    wait_until(lambda: "quiet/1" in plain_app.began())
    assert plain_app.began().index("quiet/1") - before < 10


def test_a_new_weight_counts_at_once(plain_app: PlainApp) -> None:
    flood(plain_app, "a", jobs=2000, seconds=0.02)
    flood(plain_app, "b", jobs=2000, seconds=0.02)
    plain_app.worker("threads", 4)
    wait_until(lambda: plain_app.seconds("a") > 2, 60)
    plain_app.lane().configure("a", TenantSettings(weight=4))
    before = [plain_app.seconds("a"), plain_app.seconds("b")]
    wait_until(lambda: plain_app.seconds("a") + plain_app.seconds("b") - sum(before) > 10, 60)
    got_a, got_b = plain_app.seconds("a") - before[0], plain_app.seconds("b") - before[1]
    assert abs(got_a / (got_a + got_b) - 0.8) < 0.05


def test_a_cap_bounds_what_a_tenant_has_in_flight(plain_app: PlainApp) -> None:
    for i in range(20):
        plain_app.work(f"a/{i}", 0.3, headers={"fair": {"cap": 1, "soft_cap": 2}})
    plain_app.worker("threads", 4)
    most = 0

    def watched() -> bool:
        nonlocal most
        most = max(most, plain_app.in_flight())
        return len(plain_app.done()) >= 8

    wait_until(watched, 60)
    assert most == 2
