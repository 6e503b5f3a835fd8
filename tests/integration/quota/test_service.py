"""The one service that is asked before something is taken, and told after."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from uuid_utils.compat import uuid7

from models.content import ContentAsset
from models.meter import GIGABYTE
from models.organization import Tenant
from models.quota import HoldLapsedError, LimitReachedError, MoreThanHeldError, Quota, bound_tenant
from models.session import Database, tenant_session
from models.usage import QuotaReservation
from models.user import User
from tests.integration.quota.conftest import METER, Books, Ledgers, change
from tests.support.wait import wait_until

Limited = Callable[..., Tenant]


def test_what_is_reserved_then_committed_counts_as_what_was_really_used(
    ledgers: Ledgers, limited: Limited
) -> None:
    tenant, holder = limited(posts_month=10), uuid7()
    with ledgers.quota(tenant) as quota:
        assert quota.reserve(METER, 7, holder=holder)
        standing = quota.check_limit(METER)
    assert (standing.used, standing.reserved, standing.left) == (0, 7, 3)
    assert ledgers.read(tenant) == Books(used=0, reserved=7, ledger=0, held=7)
    with ledgers.quota(tenant) as quota:
        assert quota.commit(METER, holder=holder, quantity=5)
    assert ledgers.read(tenant) == Books(used=5, reserved=0, ledger=5, held=0)


def test_a_second_commit_counts_nothing(ledgers: Ledgers, limited: Limited) -> None:
    tenant, holder = limited(posts_month=10), uuid7()
    with ledgers.quota(tenant) as quota:
        quota.reserve(METER, 7, holder=holder)
    fresh = []
    for _ in range(3):
        with ledgers.quota(tenant) as quota:
            fresh.append(quota.commit(METER, holder=holder))
    assert fresh == [True, False, False]
    assert ledgers.read(tenant) == Books(used=7, reserved=0, ledger=7, held=0)


def test_commits_at_once_count_once(ledgers: Ledgers, limited: Limited) -> None:
    tenant, holder = limited(posts_month=10), uuid7()
    with ledgers.quota(tenant) as quota:
        quota.reserve(METER, 7, holder=holder)

    def commit() -> bool:
        with ledgers.quota(tenant) as quota:
            return quota.commit(METER, holder=holder)

    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(3) as pool:
        with tenant_session(ledgers.database, tenant.organization_id) as session:
            assert Quota(session, tenant).commit(METER, holder=holder)
            others = [pool.submit(commit) for _ in range(3)]
            wait_until(lambda: session.scalars(waiting).one() >= len(others))
        assert [other.result() for other in others] == [False] * 3
    assert ledgers.read(tenant) == Books(used=7, reserved=0, ledger=7, held=0)


def test_what_is_released_is_there_for_others(ledgers: Ledgers, limited: Limited) -> None:
    tenant, holder = limited(posts_month=10), uuid7()
    with ledgers.quota(tenant) as quota:
        quota.reserve(METER, 10, holder=holder)
    for _ in range(2):
        with ledgers.quota(tenant) as quota:
            quota.release(holder)
    assert ledgers.read(tenant) == Books(used=0, reserved=0, ledger=0, held=0)
    with pytest.raises(HoldLapsedError), ledgers.quota(tenant) as quota:
        quota.commit(METER, holder=holder)
    with ledgers.quota(tenant) as quota:
        assert quota.reserve(METER, 10, holder=uuid7())


def test_the_same_holder_holds_once(ledgers: Ledgers, limited: Limited) -> None:
    tenant, holder = limited(posts_month=10), uuid7()
    for expected in (True, False):
        with ledgers.quota(tenant) as quota:
            assert quota.reserve(METER, 6, holder=holder) is expected
    assert ledgers.read(tenant) == Books(used=0, reserved=6, ledger=0, held=6)


def test_more_than_is_held_cannot_be_committed(ledgers: Ledgers, limited: Limited) -> None:
    tenant, holder = limited(posts_month=10), uuid7()
    with ledgers.quota(tenant) as quota:
        quota.reserve(METER, 2, holder=holder)
    with pytest.raises(MoreThanHeldError) as caught, ledgers.quota(tenant) as quota:
        quota.commit(METER, holder=holder, quantity=3)
    assert (caught.value.meter, caught.value.held) == (METER, 2)
    assert ledgers.read(tenant) == Books(used=0, reserved=2, ledger=0, held=2)


@pytest.mark.parametrize("act", ["reserve", "record"])
def test_one_too_many_is_refused_and_named(ledgers: Ledgers, limited: Limited, act: str) -> None:
    tenant = limited(posts_month=10)

    def take(quota: Quota, quantity: int) -> Any:
        if act == "reserve":
            return quota.reserve(METER, quantity, holder=uuid7())
        return quota.record_usage(METER, quantity, source=uuid7())

    with ledgers.quota(tenant) as quota:
        assert take(quota, 10)
        resets_at = quota.period.end
    with pytest.raises(LimitReachedError) as caught, ledgers.quota(tenant) as quota:
        take(quota, 1)
    refusal = caught.value
    assert (refusal.meter, refusal.limit, refusal.resets_at) == (METER, 10, resets_at)
    assert str(refusal) == f"Resource limit exceeded. Upgrade plan to increase {METER} limit"
    books = ledgers.read(tenant)
    assert (books.used + books.reserved, books.ledger + books.held) == (10, 10)


def test_use_is_recorded_once_a_source_and_meter(ledgers: Ledgers, limited: Limited) -> None:
    tenant, source = limited(posts_month=10), uuid7()
    for expected in (True, False):
        with ledgers.quota(tenant) as quota:
            assert quota.record_usage(METER, 6, source=source) is expected
            assert quota.record_usage("leads_scored_month", 1, source=source) is expected
    assert ledgers.read(tenant) == Books(used=6, reserved=0, ledger=6, held=0)


def test_a_soft_limit_is_flagged_at_its_end_and_refused_a_tenth_later(
    ledgers: Ledgers, limited: Limited
) -> None:
    tenant = limited(soft=(METER,), posts_month=10)
    with ledgers.quota(tenant) as quota:
        quota.record_usage(METER, 10, source=uuid7())
        assert not quota.check_limit(METER).flagged
        quota.record_usage(METER, 1, source=uuid7())
        assert quota.check_limit(METER).flagged
        assert not quota.check_limit(METER).covers(1)
    with pytest.raises(LimitReachedError) as caught, ledgers.quota(tenant) as quota:
        quota.record_usage(METER, 1, source=uuid7())
    assert caught.value.limit == 10


def test_another_plan_in_mid_period_keeps_what_was_used(
    ledgers: Ledgers, limited: Limited, database: Database
) -> None:
    tenant = limited(posts_month=10)
    with ledgers.quota(tenant) as quota:
        quota.record_usage(METER, 8, source=uuid7())
    larger = change(database, tenant, posts_month=12)
    with ledgers.quota(larger) as quota:
        assert quota.record_usage(METER, 4, source=uuid7())
    smaller = change(database, larger, posts_month=5)
    with pytest.raises(LimitReachedError), ledgers.quota(smaller) as quota:
        quota.record_usage(METER, 1, source=uuid7())
    with ledgers.quota(smaller) as quota:
        standing = quota.check_limit(METER)
    assert (standing.used, standing.left) == (12, 0)


def test_another_zone_or_anchor_in_mid_period_makes_no_room(
    ledgers: Ledgers, limited: Limited, database: Database
) -> None:
    tenant = limited(posts_month=10)
    with ledgers.quota(tenant) as quota:
        quota.record_usage(METER, 6, source=uuid7())
        quota.reserve(METER, 2, holder=uuid7())
    for zone in ("Asia/Kathmandu", "America/New_York"):
        tenant = change(database, tenant, posts_month=10, time_zone=zone)
        with ledgers.quota(tenant) as quota:
            assert quota.check_limit(METER).left == 2
        with pytest.raises(LimitReachedError), ledgers.quota(tenant) as quota:
            quota.record_usage(METER, 3, source=uuid7())
    with ledgers.quota(tenant) as quota:
        assert quota.record_usage(METER, 2, source=uuid7())
        assert quota.check_limit(METER).left == 0


def insert_user(session: Any, tenant: Tenant, number: int) -> None:
    address = f"user{number}@example.org"
    session.add(User(organization_id=tenant.organization_id, email=address, email_norm=address))


def test_of_many_who_add_users_at_once_as_many_as_the_plan_has_get_in(
    database: Database, limited: Limited
) -> None:
    tenant = limited(users=3)

    def add(number: int) -> bool:
        try:
            with tenant_session(database, tenant.organization_id) as session:
                Quota(session, tenant).make_room("users")
                insert_user(session, tenant, number)
        except LimitReachedError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(add, range(32))) == 3
    with tenant_session(database, tenant.organization_id) as session:
        assert session.scalars(select(func.count()).select_from(User)).one() == 3


def test_storage_is_counted_in_bytes_and_limited_in_gigabytes(database: Database, limited: Limited) -> None:
    tenant = limited(storage_gb=2)
    with tenant_session(database, tenant.organization_id) as session:
        quota = Quota(session, tenant)
        quota.make_room("storage_gb", 2 * GIGABYTE)
        for size in (GIGABYTE, GIGABYTE - 10):
            session.add(
                ContentAsset(organization_id=tenant.organization_id, kind="image", title="A", byte_size=size)
            )
        session.flush()
        quota.make_room("storage_gb", 10)
        with pytest.raises(LimitReachedError):
            quota.make_room("storage_gb", 11)
        assert quota.check_limit("storage_gb").left == 10


def test_what_was_deleted_leaves_room(database: Database, limited: Limited) -> None:
    tenant = limited(users=1)
    with tenant_session(database, tenant.organization_id) as session:
        insert_user(session, tenant, 1)
        session.flush()
        with pytest.raises(LimitReachedError):
            Quota(session, tenant).make_room("users")
        session.scalars(select(User)).one().deleted_at = func.now()
        session.flush()
        Quota(session, tenant).make_room("users")


def test_the_quota_of_another_tenant_cannot_be_touched(
    ledgers: Ledgers, limited: Limited, database: Database
) -> None:
    mine, theirs = limited(posts_month=10), limited(posts_month=10)
    acts: list[Callable[[Quota], Any]] = [
        lambda quota: quota.record_usage(METER, 1, source=uuid7()),
        lambda quota: quota.reserve(METER, 1, holder=uuid7()),
    ]
    for act in acts:
        with (
            pytest.raises(DBAPIError, match="row-level security"),
            tenant_session(database, mine.organization_id) as session,
        ):
            act(Quota(session, theirs))
    assert ledgers.read(theirs) == Books(0, 0, 0, 0)


def test_a_tenants_holder_is_not_anothers(ledgers: Ledgers, limited: Limited) -> None:
    mine, theirs, holder = limited(posts_month=10), limited(posts_month=10), uuid7()
    with ledgers.quota(mine) as quota:
        quota.reserve(METER, 3, holder=holder)
    with pytest.raises(HoldLapsedError), ledgers.quota(theirs) as quota:
        quota.commit(METER, holder=holder)
    with ledgers.quota(theirs) as quota:
        quota.release(holder)
    assert ledgers.read(mine) == Books(used=0, reserved=3, ledger=0, held=3)


def test_the_transaction_tells_to_whom_it_is_bound(database: Database, limited: Limited) -> None:
    tenant = limited(posts_month=10)
    with tenant_session(database, tenant.organization_id) as session:
        assert bound_tenant(session) == tenant
        assert session.scalars(select(func.app.sealed_tenant())).one() == tenant.organization_id


def sweep(database: Database, organization_id: UUID) -> int:
    with tenant_session(database, organization_id) as session:
        return int(session.scalars(select(func.app.expire_holds(organization_id))).one())


def test_only_a_hold_whose_time_has_passed_is_swept(
    ledgers: Ledgers, limited: Limited, database: Database
) -> None:
    tenant, lasting, lapsed = limited(posts_month=10), uuid7(), uuid7()
    with ledgers.quota(tenant) as quota:
        quota.reserve(METER, 3, holder=lasting)
        quota.reserve(METER, 4, holder=lapsed, lasts=timedelta(0))
    assert sweep(database, tenant.organization_id) == 1
    assert ledgers.read(tenant) == Books(used=0, reserved=3, ledger=0, held=3)
    with pytest.raises(HoldLapsedError), ledgers.quota(tenant) as quota:
        quota.commit(METER, holder=lapsed)
    assert sweep(database, tenant.organization_id) == 0


def test_settled_holds_of_long_ago_are_removed(
    ledgers: Ledgers, limited: Limited, database: Database
) -> None:
    tenant = limited(posts_month=10)
    with ledgers.quota(tenant) as quota:
        quota.reserve(METER, 4, holder=uuid7(), lasts=timedelta(days=-3))
        quota.reserve(METER, 4, holder=uuid7(), lasts=timedelta(0))
    sweep(database, tenant.organization_id)
    with tenant_session(database, tenant.organization_id) as session:
        assert session.scalars(select(func.count()).select_from(QuotaReservation)).one() == 1


@pytest.mark.parametrize("quantity", [-1, -(2**40)])
def test_no_use_is_negative(ledgers: Ledgers, limited: Limited, quantity: int) -> None:
    tenant = limited(posts_month=10)
    with ledgers.quota(tenant) as quota:
        with pytest.raises(ValueError, match="no amount"):
            quota.record_usage(METER, quantity, source=uuid7())
        with pytest.raises(ValueError, match="no amount"):
            quota.reserve(METER, quantity, holder=uuid7())
