"""Days hold exact uniques and stay right through late events, zones, erasures, corrections and retention."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from sqlalchemy import delete, select, text, update

from config.plans import MOST_EVENT_DAYS, PLANS
from intake.ingest.event import (
    Correction,
    CorrectionBatch,
    EventBatch,
    EventBody,
    PlainEvent,
    correct_events,
    record_events,
)
from models.analytics import AnalyticsBucket, AnalyticsDay, AnalyticsEvent, AnalyticsVisitor, Dimension
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from ops.stack import PostgresUrls
from tasks.analytics_amending import Erased, erase_visitors
from tasks.analytics_calendar import Span
from tasks.analytics_reading import Slice, totals
from tasks.analytics_rollups.job import roll_up
from tasks.analytics_rollups.rollup import run_pass
from tasks.payloads import Rollup
from tests.integration.families.beside import settle
from worker.context import Completion

Organize = Callable[..., Tenant]
Run = Callable[..., Completion]
Scope = tuple[date, str, str, str]

CAMPAIGNS = [UUID(int=n) for n in (1, 2)]
POSTS = [UUID(int=n) for n in (7, 8, 9)]
START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)


def some_event(chance: random.Random, key: str) -> EventBody:
    return EventBody(
        key=key,
        name=chance.choice(["view", "click", "sale"]),
        occurred_at=START + timedelta(seconds=chance.randrange(4 * 86_400), microseconds=999_999),
        visitor=chance.choice([None, *(f"v{n}" for n in range(25))]),
        value=float(chance.randrange(100)),
        campaign_id=chance.choice([None, *CAMPAIGNS]),
        channel=chance.choice([None, "bluesky", "mail"]),
        post_id=chance.choice([None, *POSTS]),
    )


def some_events(seed: int, count: int) -> list[EventBody]:
    chance = random.Random(seed)
    return [some_event(chance, f"{seed}/{n}") for n in range(count)]


def record(database: Database, tenant: Tenant, events: Sequence[EventBody]) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        record_events(session, tenant.organization_id, EventBatch(events=tuple(events)))


def do_pass(database: Database, tenant: Tenant, *, settled: bool = True) -> None:
    if settled:
        settle(database, tenant)
    with tenant_session(database, tenant.organization_id) as session:
        run_pass(session, tenant.organization_id)


def erase(database: Database, tenant: Tenant, *visitors: str) -> Erased:
    with tenant_session(database, tenant.organization_id) as session:
        return erase_visitors(session, tenant.organization_id, visitors)


def move_to(database: Database, tenant: Tenant, zone: str) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(time_zone=zone))


def kept(database: Database, tenant: Tenant) -> dict[Scope, tuple[int, float, int]]:
    """Return the days as the table has them."""
    with tenant_session(database, tenant.organization_id) as session:
        return {
            (row.day, row.dimension, row.name, row.member): (row.events, row.value_sum, row.visitors)
            for row in session.scalars(select(AnalyticsDay))
        }


def by_hand(events: Sequence[PlainEvent], zone: str = "UTC") -> dict[Scope, tuple[int, float, int]]:
    """Count every scope of every day from the events alone."""
    groups: dict[Scope, list[PlainEvent]] = defaultdict(list)
    for event in events:
        day = event.occurred_at.astimezone(ZoneInfo(zone)).date()
        members = {
            "total": "",
            "campaign": event.campaign_id,
            "channel": event.channel,
            "post": event.post_id,
        }
        for dimension, member in members.items():
            for name in ("", event.name):
                if member is not None:
                    groups[day, dimension, name, str(member)].append(event)
    return {
        scope: (
            len(group),
            sum(event.value or 0.0 for event in group),
            len({event.visitor for event in group} - {None}),
        )
        for scope, group in groups.items()
    }


def read(database: Database, tenant: Tenant, zone: str = "UTC") -> dict[Scope, tuple[int, float, int]]:
    """Return what readers are told of every scope."""
    span = Span((START - timedelta(days=2)).date(), (START + timedelta(days=7)).date(), zone)
    found = {}
    with tenant_session(database, tenant.organization_id) as session:
        for dimension in Dimension:
            for by_name in (True, False):
                chosen = Slice(dimension=dimension, by_name=by_name)
                for row in totals(session, tenant.organization_id, span, chosen=chosen):
                    scope = (row.period, dimension.value, row.name, row.member)
                    found[scope] = (row.events, row.value_sum, row.visitors)
    return found


def test_days_of_every_scope_are_exact_however_events_come(
    database: Database, organization: Organize
) -> None:
    tenant, events = organization(), some_events(1, 900)
    for at in range(0, 900, 150):
        record(database, tenant, events[at : at + 150])
        assert read(database, tenant) == by_hand(events[: at + 150]), "what no pass has counted is there"
        if at % 300:
            do_pass(database, tenant)
            assert kept(database, tenant) == by_hand(events[: at + 150])
            assert read(database, tenant) == by_hand(events[: at + 150])


def test_another_zone_is_read_and_rolled_up_without_raw_events(
    database: Database, organization: Organize
) -> None:
    tenant, events = organization(), some_events(2, 600)
    record(database, tenant, events)
    do_pass(database, tenant)
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(delete(AnalyticsEvent))
    for zone in ("Asia/Kathmandu", "America/Los_Angeles", "Australia/Lord_Howe", "UTC"):
        assert read(database, tenant, zone) == by_hand(events, zone), "from quarters and marks"
        move_to(database, tenant, zone)
        do_pass(database, tenant)
        assert kept(database, tenant) == by_hand(events, zone)
        assert read(database, tenant, zone) == by_hand(events, zone)


def test_a_visitor_of_the_last_microsecond_belongs_to_the_day_that_ends(
    database: Database, organization: Organize
) -> None:
    tenant = organization()
    midnight = START + timedelta(hours=18, minutes=15)  # in Kathmandu
    moments = [midnight - timedelta(microseconds=1), midnight]
    events = [EventBody(name="view", visitor=str(moment), occurred_at=moment) for moment in moments]
    record(database, tenant, events)
    do_pass(database, tenant)
    assert read(database, tenant, "Asia/Kathmandu") == by_hand(events, "Asia/Kathmandu")


def test_new_events_and_another_zone_in_one_pass(database: Database, organization: Organize) -> None:
    tenant, events = organization(), some_events(3, 400)
    record(database, tenant, events[:200])
    do_pass(database, tenant)
    record(database, tenant, events[200:])
    move_to(database, tenant, "Asia/Kathmandu")
    do_pass(database, tenant)
    assert kept(database, tenant) == by_hand(events, "Asia/Kathmandu")


def test_an_erased_visitor_leaves_no_trace(database: Database, organization: Organize) -> None:
    tenant, events = organization(), some_events(4, 600)
    record(database, tenant, events[:500])
    do_pass(database, tenant)
    record(database, tenant, events[500:])
    done = erase(database, tenant, "v3", "v7", "nobody")
    left = [event for event in events if event.visitor not in {"v3", "v7"}]
    assert done.events == len(events) - len(left)
    assert read(database, tenant) == by_hand(left), "at once, also of what no pass has counted"
    do_pass(database, tenant)
    assert kept(database, tenant) == by_hand(left)
    with tenant_session(database, tenant.organization_id) as session:
        assert "v3" not in set(session.scalars(select(AnalyticsEvent.visitor)))
        marks = select(AnalyticsVisitor.visitor).where(
            AnalyticsVisitor.visitor == text("hashtextextended('v3', 0)")
        )
        assert session.scalars(marks).all() == []
    record(database, tenant, [event for event in events if event.visitor == "v3"])
    assert read(database, tenant) == by_hand(left), "events that are sent again stay away"


def test_an_erasure_after_raw_events_are_gone_keeps_counts_and_forgets_the_visitor(
    database: Database, organization: Organize
) -> None:
    tenant, events = organization(), some_events(5, 300)
    record(database, tenant, events)
    do_pass(database, tenant)
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(delete(AnalyticsEvent))
        session.execute(text("UPDATE analytics_watermarks SET raw_from = now()"))
    assert erase(database, tenant, "v3").events == 0
    found, before = kept(database, tenant), by_hand(events)
    without = by_hand([event for event in events if event.visitor != "v3"])
    assert {scope: row[:2] for scope, row in found.items()} == {
        scope: row[:2] for scope, row in before.items()
    }
    assert {scope: row[2] for scope, row in found.items()} == {
        scope: without[scope][2] if scope in without else 0 for scope in before
    }


@pytest.mark.parametrize("counted", [True, False])
def test_corrected_events_count_as_they_should_have_been(
    database: Database, organization: Organize, *, counted: bool
) -> None:
    tenant, events = organization(), some_events(6, 400)
    record(database, tenant, events)
    if counted:
        do_pass(database, tenant)
    chance = random.Random(6)
    meant = {event.key: event for event in events}
    corrections = []
    for event in chance.sample(events, 80):
        should = some_event(chance, event.key or "") if chance.random() < 0.7 else None
        plain = None if should is None else PlainEvent.model_validate(should.model_dump(exclude={"key"}))
        corrections.append(Correction(key=event.key or "", event=plain))
        meant.pop(event.key)
        if should is not None:
            meant[event.key] = should
    batch = CorrectionBatch(corrections=(*corrections, Correction(key="never sent", event=None)))
    with tenant_session(database, tenant.organization_id) as session:
        done = correct_events(session, tenant.organization_id, batch)
    assert done.unknown == ["never sent"]
    assert done.replaced + done.removed == 80
    assert read(database, tenant) == by_hand(list(meant.values())), "at once"
    do_pass(database, tenant)
    assert kept(database, tenant) == by_hand(list(meant.values()))
    with tenant_session(database, tenant.organization_id) as session:
        correct_events(session, tenant.organization_id, batch)
    do_pass(database, tenant)
    assert kept(database, tenant) == by_hand(list(meant.values())), "a correction may be repeated"


def test_an_erasure_beside_passes_and_writers_loses_nothing(
    database: Database, organization: Organize
) -> None:
    tenant, events = organization(), some_events(7, 300)
    with tenant_session(database, tenant.organization_id) as slow:
        record_events(slow, tenant.organization_id, EventBatch(events=tuple(events[:100])))
        record(database, tenant, events[100:])
        do_pass(database, tenant, settled=False)
        erase(database, tenant, "v1")
    do_pass(database, tenant)
    left = events[:100] + [event for event in events[100:] if event.visitor != "v1"]
    assert kept(database, tenant) == by_hand(left), "who is written after the erasure came after it"


def test_raw_events_go_with_the_plan_and_what_was_counted_stays(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization(plan="starter")
    old = datetime.now(UTC) - timedelta(days=PLANS["starter"].event_days + 5)
    events = [
        EventBody(name="view", visitor="a", occurred_at=old),
        EventBody(name="view", visitor="a", occurred_at=datetime.now(UTC)),
    ]
    record(database, tenant, events)
    settle(database, tenant)
    assert run(tenant, roll_up, Rollup()).result["removed"] == 1
    assert run(tenant, roll_up, Rollup()).result["removed"] == 0
    record(database, tenant, [EventBody(name="view", visitor="b", occurred_at=old)])
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    assert kept(database, tenant) == by_hand(events), "a late one is not counted where raw events are gone"
    with tenant_session(database, tenant.organization_id) as session:
        assert len(session.scalars(select(AnalyticsEvent.id)).all()) == 1


def test_rollups_go_with_the_plan(database: Database, organization: Organize, run: Run) -> None:
    tenant = organization(plan="starter")
    ancient = datetime.now(UTC) - timedelta(days=PLANS["starter"].rollup_days + 10)
    record(database, tenant, [EventBody(name="view", visitor="a", occurred_at=ancient)])
    settle(database, tenant)
    run(tenant, roll_up, Rollup())
    with tenant_session(database, tenant.organization_id) as session:
        for table in (AnalyticsBucket, AnalyticsVisitor, AnalyticsDay):
            assert session.scalars(select(table)).all() == []


def test_months_that_no_plan_keeps_are_dropped_whole(
    database_urls: PostgresUrls, database: Database, organization: Organize
) -> None:
    tenant = organization()
    past = datetime.now(UTC) - timedelta(days=MOST_EVENT_DAYS + 120)
    month = past.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (month + timedelta(days=32)).replace(day=1)
    name = f"analytics_events_{month:%Y_%m}"
    assert database_urls.superuser_url is not None
    with psycopg.connect(database_urls.superuser_url) as connection:
        connection.execute(
            f"CREATE TABLE public.{name} PARTITION OF public.analytics_events"
            f" FOR VALUES FROM ('{month.isoformat()}') TO ('{following.isoformat()}')"
        )
        connection.execute(f"ALTER TABLE public.{name} OWNER TO genius_owner")
    record(database, tenant, [EventBody(name="view", occurred_at=past), *some_events(8, 3)])
    with psycopg.connect(database_urls.superuser_url) as connection:
        connection.execute("SELECT app.ensure_event_partitions(2)")
        assert connection.execute(f"SELECT to_regclass('public.{name}')").fetchone() == (None,)
    with tenant_session(database, tenant.organization_id) as session:
        assert len(session.scalars(select(AnalyticsEvent.id)).all()) == 3
