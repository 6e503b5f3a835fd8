"""Who gets how much worker time, with real workers."""

from collections.abc import Callable, Mapping

from tests.integration.fairshare.plain_app import PlainApp
from tests.support.wait import wait_until
from worker.fairshare.queue import TenantSettings

Seconds = dict[str, float]
"""Worker time of each tenant."""


def flood(app: PlainApp, tenant: str, *, jobs: int, seconds: float, weight: float = 1) -> None:
    with app.app.producer_pool.acquire() as producer, producer.batch(200):
        for i in range(jobs):
            app.work(f"{tenant}/{i}", seconds, producer=producer, headers={"fair": {"weight": weight}})


def charged(app: PlainApp) -> Seconds:
    return {stats.tenant: stats.used.total_seconds() for stats in app.lane().stats()}


def ran(app: PlainApp, *tenants: str) -> Seconds:
    """Return how long jobs ran by their own clocks."""
    return {tenant: app.seconds(tenant) for tenant in tenants}


def settle(
    app: PlainApp, got: Callable[[], Seconds], expected: Mapping[str, float], *, after: float, within: float
) -> None:
    """Wait until worker time is shared as *expected*, once there were *after* seconds of it.

    Whoever runs while the machine stands still is charged for that; the queue makes up for it in a while.
    """

    def settled() -> bool:
        seconds = got()
        total = sum(seconds.values())
        return total > after and all(
            abs(seconds[tenant] / total - share) < within for tenant, share in expected.items()
        )

    wait_until(settled, 120, message=f"shares of {dict(expected)}")
    assert all(stats.waiting for stats in app.lane().stats()), "who has nothing waiting proves nothing"


def test_long_jobs_get_no_more_time_than_short_ones(plain_app: PlainApp) -> None:
    flood(plain_app, "long", jobs=200, seconds=0.34)
    flood(plain_app, "short", jobs=2000, seconds=0.04)
    plain_app.worker("threads", 4)
    even = {"long": 0.5, "short": 0.5}
    settle(plain_app, lambda: charged(plain_app), even, after=20, within=0.03)
    # Running is not all that a job costs its worker: a short job's overhead counts too.
    settle(plain_app, lambda: ran(plain_app, *even), even, after=20, within=0.1)


def test_worker_time_follows_the_weights(plain_app: PlainApp) -> None:
    for tenant, weight in (("one", 1), ("two", 2), ("five", 5)):
        flood(plain_app, tenant, jobs=1500, seconds=0.02, weight=weight)
    plain_app.worker("threads", 4)
    weighted = {"one": 0.125, "two": 0.25, "five": 0.625}
    settle(plain_app, lambda: ran(plain_app, *weighted), weighted, after=24, within=0.02)


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
    before = ran(plain_app, "a", "b")

    def since() -> Seconds:
        return {tenant: seconds - before[tenant] for tenant, seconds in ran(plain_app, *before).items()}

    settle(plain_app, since, {"a": 0.8, "b": 0.2}, after=10, within=0.05)


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
