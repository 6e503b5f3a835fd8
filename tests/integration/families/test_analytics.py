"""Rollups count every event once, whatever the order, the split or the writers."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import delete, func, select

from intake.ingest.event import EventBatch, EventBody, record_events
from models.analytics import AnalyticsBucket, AnalyticsEvent
from models.organization import Tenant
from models.session import Database, tenant_session
from tasks.analytics_calendar import Grain, Span
from tasks.analytics_reading import totals, unique_visitors
from tasks.analytics_rollups.job import roll_up
from tasks.payloads import Rollup
from tests.integration.families.beside import rounds, settle
from worker.context import Completion

Run = Callable[..., Completion]
Organize = Callable[..., Tenant]
Bucket = tuple[datetime, str]


def record(database: Database, tenant: Tenant, events: Sequence[EventBody]) -> int:
    with tenant_session(database, tenant.organization_id) as session:
        return record_events(session, tenant.organization_id, EventBatch(events=tuple(events))).recorded


def buckets(database: Database, tenant: Tenant) -> dict[Bucket, tuple[int, float]]:
    with tenant_session(database, tenant.organization_id) as session:
        return {
            (row.starts_at, row.name): (row.events, row.value_sum)
            for row in session.execute(select(AnalyticsBucket)).scalars()
        }


def quarter(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def counted(events: Sequence[EventBody]) -> dict[Bucket, tuple[int, float]]:
    """Count by hand what the buckets should say."""
    groups: dict[Bucket, list[EventBody]] = defaultdict(list)
    for event in events:
        groups[quarter(event.occurred_at), event.name].append(event)
    return {key: (len(group), sum(event.value or 0.0 for event in group)) for key, group in groups.items()}


def hit(minute: int, *, name: str = "view", visitor: str = "v", key: str | None = None) -> EventBody:
    start = datetime(2026, 5, 17, 0, 0, tzinfo=UTC)
    return EventBody(
        name=name, occurred_at=start + timedelta(minutes=minute), visitor=visitor, value=1.5, key=key
    )


def test_a_late_event_recounts_its_own_bucket(database: Database, organization: Organize, run: Run) -> None:
    tenant = organization()
    early, late = [hit(1), hit(20)], hit(2, visitor="w")
    record(database, tenant, early)
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    record(database, tenant, [late])
    settle(database, tenant)
    completion = run(tenant, roll_up, Rollup())
    assert completion.result["buckets"] == 1
    assert buckets(database, tenant) == counted([*early, late])


def test_a_second_pass_changes_nothing(database: Database, organization: Organize, run: Run) -> None:
    tenant = organization()
    record(database, tenant, [hit(1), hit(30)])
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    before = buckets(database, tenant)
    assert run(tenant, roll_up, Rollup()).result["buckets"] == 0
    assert buckets(database, tenant) == before


def test_a_pass_that_fails_leaves_watermark_and_buckets_as_they_were(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    record(database, tenant, [hit(1)])

    def crash_after(job: object, payload: object) -> Completion:
        roll_up(job, payload)  # type: ignore[arg-type]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tenant, crash_after, Rollup())
    assert buckets(database, tenant) == {}
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    assert buckets(database, tenant) == counted([hit(1)])


def test_an_event_of_a_transaction_that_ends_after_the_pass_is_not_lost(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    with tenant_session(database, tenant.organization_id) as slow:
        record_events(slow, tenant.organization_id, EventBatch(events=(hit(1),)))
        slow.flush()
        record(database, tenant, [hit(40)])
        run(tenant, roll_up, Rollup())
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    assert buckets(database, tenant) == counted([hit(1), hit(40)])


def test_an_event_past_the_watermark_is_not_counted_twice(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    span = Span(date(2026, 5, 17), date(2026, 5, 17), "UTC")
    record(database, tenant, [hit(1)])
    with tenant_session(database, tenant.organization_id) as slow:
        record_events(slow, tenant.organization_id, EventBatch(events=(hit(2),)))
        record(database, tenant, [hit(3)])
        run(tenant, roll_up, Rollup())
        with tenant_session(database, tenant.organization_id) as session:
            (row,) = totals(session, tenant.organization_id, span)
        assert (row.events, row.value_sum) == (2, 3.0)
    with tenant_session(database, tenant.organization_id) as session:
        (row,) = totals(session, tenant.organization_id, span)
    assert row.events == 3


def sometimes_fail(chance: random.Random) -> None:
    if chance.random() < 0.2:
        raise InterruptedError


def test_concurrent_writers_with_rollbacks_lose_no_event(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    written: list[EventBody] = []
    passes: list[None] = []
    lock, done = threading.Lock(), threading.Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        for _ in rounds(30, until=lambda: len(passes) > 5):
            batch = [hit(chance.randrange(600), visitor=str(chance.randrange(9))) for _ in range(5)]
            try:
                with tenant_session(database, tenant.organization_id) as session:
                    record_events(session, tenant.organization_id, EventBatch(events=tuple(batch)))
                    session.execute(select(func.pg_sleep(chance.random() / 50)))
                    sometimes_fail(chance)
            except InterruptedError:
                continue
            with lock:
                written.extend(batch)

    def keep_rolling() -> None:
        while not done.is_set():
            run(tenant, roll_up, Rollup())
            passes.append(None)

    with ThreadPoolExecutor(10) as threads:
        rollers = [threads.submit(keep_rolling) for _ in range(2)]
        writers = [threads.submit(write, seed) for seed in range(8)]
        wait(writers)
        done.set()
    for thread in [*writers, *rollers]:
        thread.result()
    assert len(passes) > 5
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    assert buckets(database, tenant) == counted(written)


def test_keys_make_a_repeated_event_count_once(database: Database, organization: Organize, run: Run) -> None:
    tenant = organization()
    batch = [hit(1, key="a"), hit(2, key="b"), hit(1, key="a"), hit(3)]
    assert record(database, tenant, batch) == 3
    assert record(database, tenant, batch[:2]) == 0
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    assert buckets(database, tenant) == counted([batch[0], batch[1], batch[3]])


def test_two_tenants_with_the_same_keys_have_their_own_events(
    database: Database, organization: Organize
) -> None:
    for tenant in (organization(), organization()):
        assert record(database, tenant, [hit(1, key="a")]) == 1


def test_the_answer_is_the_same_before_and_after_a_pass_and_without_raw_rows(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    record(database, tenant, [hit(minute, visitor=str(minute % 7)) for minute in range(0, 4_000, 11)])
    span = Span(date(2026, 5, 16), date(2026, 5, 20), "Asia/Kathmandu")

    def counts() -> list[tuple[date, str, int, float]]:
        with tenant_session(database, tenant.organization_id) as session:
            return [
                (row.period, row.name, row.events, row.value_sum)
                for row in totals(session, tenant.organization_id, span)
            ]

    raw_only = counts()
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    assert counts() == raw_only
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(delete(AnalyticsEvent))
    assert counts() == raw_only
    assert len(raw_only) == 4


def test_unique_visitors_of_a_week_are_not_the_sum_of_its_days(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    record(database, tenant, [hit(day * 1_440, visitor="same") for day in range(3)])
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    span = Span(date(2026, 5, 11), date(2026, 5, 24), "UTC")
    with tenant_session(database, tenant.organization_id) as session:
        weeks = totals(session, tenant.organization_id, span, grain=Grain.WEEK)
        assert unique_visitors(session, tenant.organization_id, span) == 1
    assert [(week.period, week.visitors) for week in weeks] == [
        (date(2026, 5, 11), 1),
        (date(2026, 5, 18), 1),
    ]
