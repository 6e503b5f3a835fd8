"""Alerts at 80 and 100 percent: each once a period, however use comes about."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from freezegun import freeze_time
from sqlalchemy import select
from uuid_utils.compat import uuid7

from models.campaign import Campaign
from models.organization import Tenant
from models.quota import Quota
from models.session import Database, tenant_session
from models.usage import UsageAlert
from tasks.quota_accounting.job import watch_gauges
from tests.integration.quota.conftest import METER, Ledgers, change

Limited = Callable[..., Tenant]


def use(ledgers: Ledgers, tenant: Tenant, quantity: int) -> None:
    with ledgers.quota(tenant) as quota:
        quota.record_usage(METER, quantity, source=uuid7())


def test_each_threshold_is_alerted_for_once(ledgers: Ledgers, limited: Limited) -> None:
    tenant = limited(posts_month=100)
    seen = []
    for quantity in (79, 1, 1, 18, 1):
        use(ledgers, tenant, quantity)
        seen.append(ledgers.alerts(tenant))
    assert seen == [[], [80], [80], [80], [80, 100]]


def test_a_leap_to_the_limit_alerts_for_the_limit_alone(ledgers: Ledgers, limited: Limited) -> None:
    tenant = limited(posts_month=100)
    use(ledgers, tenant, 100)
    assert ledgers.alerts(tenant) == [100]


def test_a_soft_limit_alerts_at_the_limit_and_not_again_beyond(ledgers: Ledgers, limited: Limited) -> None:
    tenant = limited(soft=(METER,), posts_month=100)
    for quantity in (90, 10, 5, 5):
        use(ledgers, tenant, quantity)
    assert ledgers.alerts(tenant) == [80, 100]


def test_an_alert_says_of_what_and_when(ledgers: Ledgers, limited: Limited, database: Database) -> None:
    tenant = limited(posts_month=100)
    use(ledgers, tenant, 85)
    with tenant_session(database, tenant.organization_id) as session:
        alert = session.scalars(select(UsageAlert)).one()
        period = Quota(session, tenant).period
    assert (alert.meter, alert.amount, alert.used, alert.threshold) == (METER, 100, 85, 80)
    assert (alert.period_start, alert.period_end) == (period.start, period.end)
    assert abs(alert.raised_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_what_is_only_held_alerts_when_it_is_used(ledgers: Ledgers, limited: Limited) -> None:
    tenant, holder = limited(posts_month=100), uuid7()
    with ledgers.quota(tenant) as quota:
        quota.reserve(METER, 90, holder=holder)
    assert ledgers.alerts(tenant) == []
    with ledgers.quota(tenant) as quota:
        quota.commit(METER, holder=holder)
    assert ledgers.alerts(tenant) == [80]


def test_many_who_pass_a_threshold_at_once_alert_once(ledgers: Ledgers, limited: Limited) -> None:
    tenant = limited(posts_month=40)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: use(ledgers, tenant, 1), range(40)))
    assert ledgers.alerts(tenant) == [80, 100]


def test_a_smaller_plan_alerts_with_the_next_use_and_a_larger_one_not_again(
    ledgers: Ledgers, limited: Limited, database: Database
) -> None:
    tenant = limited(posts_month=100)
    use(ledgers, tenant, 50)
    tenant = change(database, tenant, posts_month=60)
    use(ledgers, tenant, 1)
    assert ledgers.alerts(tenant) == [80]
    tenant = change(database, tenant, posts_month=1_000)
    use(ledgers, tenant, 800)
    assert ledgers.alerts(tenant) == [80]


def test_the_next_period_alerts_anew(ledgers: Ledgers, limited: Limited) -> None:
    tenant = limited(posts_month=100)
    use(ledgers, tenant, 80)
    with ledgers.quota(tenant) as quota:
        following = quota.period
    with freeze_time(following.end + timedelta(days=1)), ledgers.quota(tenant) as quota:
        quota.record_usage(METER, 80, source=uuid7())
    assert ledgers.alerts(tenant) == [80, 80]


def test_nothing_alerts_without_a_limit(ledgers: Ledgers, organization: Callable[..., Tenant]) -> None:
    tenant = organization(plan="enterprise")
    use(ledgers, tenant, 10**9)
    assert ledgers.alerts(tenant) == []


def test_who_is_rolled_back_has_raised_no_alert(ledgers: Ledgers, limited: Limited) -> None:
    tenant = limited(posts_month=100)
    with suppress(RuntimeError), ledgers.quota(tenant) as quota:
        quota.record_usage(METER, 100, source=uuid7())
        raise RuntimeError
    assert ledgers.alerts(tenant) == []


def test_gauges_are_alerted_for_by_accounting_once_a_period(
    ledgers: Ledgers, limited: Limited, database: Database
) -> None:
    tenant = limited(campaigns=5)
    seen = []
    for number in range(5):
        with tenant_session(database, tenant.organization_id) as session:
            session.add(Campaign(organization_id=tenant.organization_id, name=f"Campaign {number}"))
        for _ in range(2):
            with tenant_session(database, tenant.organization_id) as session:
                watch_gauges(session, tenant)
        seen.append(ledgers.alerts(tenant, "campaigns"))
    assert seen == [[], [], [], [80], [80, 100]]
