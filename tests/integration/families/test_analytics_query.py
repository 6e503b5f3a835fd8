"""Queries: one metric by period, broken down, compared, to the second; the gate holds in the worker too."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import update

from intake.ingest.event import EventBatch, EventBody, record_events
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from tasks.analytics_query import Answer, QueryTooLargeError, answer, needs_advanced
from tasks.analytics_rollups.query import query_analytics
from tasks.analytics_rollups.rollup import run_pass
from tasks.payloads import AnalyticsQuery
from worker.context import Completion, PermanentJobError

Organize = Callable[..., Tenant]
Run = Callable[..., Completion]

SPRING, AUTUMN = UUID(int=1), UUID(int=2)


def event(
    day: str, visitor: str, *, name: str = "view", hour: int = 12, value: float = 1.0, **more: object
) -> EventBody:
    moment = datetime.fromisoformat(f"{day}T{hour:02}:00:00+00:00")
    return EventBody.model_validate(
        {"name": name, "occurred_at": moment, "visitor": visitor, "value": value} | more
    )


EVENTS = (
    event("2026-03-02", "a", campaign_id=SPRING, channel="mail"),
    event("2026-03-02", "b", campaign_id=SPRING, channel="bluesky", value=4),
    event("2026-03-03", "a", name="click", campaign_id=AUTUMN, channel="mail"),
    event("2026-03-09", "a", campaign_id=SPRING, channel="mail"),
    event("2026-03-10", "a", campaign_id=AUTUMN, channel="mail"),
    event("2026-03-10", "c", name="click"),
    event("2026-03-11", "d", hour=23, campaign_id=AUTUMN),
)


@pytest.fixture(params=["rolled up", "half", "raw"])
def tenant(request: pytest.FixtureRequest, database: Database, organization: Organize) -> Tenant:
    """The same events, whatever a pass has counted of them."""
    tenant = organization()
    first, then = {"rolled up": (EVENTS, ()), "half": (EVENTS[::2], EVENTS[1::2]), "raw": ((), EVENTS)}[
        request.param
    ]
    for events in (first, then):
        with tenant_session(database, tenant.organization_id) as session:
            if events:
                record_events(session, tenant.organization_id, EventBatch(events=events))
        if events is first and first:
            with tenant_session(database, tenant.organization_id) as session:
                run_pass(session, tenant.organization_id)
    return tenant


def ask(database: Database, tenant: Tenant, first: str, last: str, **asked: object) -> Answer:
    query = AnalyticsQuery.model_validate({"first": first, "last": last} | asked)
    with tenant_session(database, tenant.organization_id) as session:
        return answer(session, query, "UTC")


def points(found: Answer) -> list[tuple[str, str | None, float]]:
    return [(str(item.period), item.member, item.value) for item in found.items]


def test_days_without_events_are_zero(database: Database, tenant: Tenant) -> None:
    found = ask(database, tenant, "2026-03-09", "2026-03-12")
    assert points(found) == [
        ("2026-03-09", None, 1),
        ("2026-03-10", None, 2),
        ("2026-03-11", None, 1),
        ("2026-03-12", None, 0),
    ]
    assert (found.total.value, found.estimated) == (4, False)


def test_visitors_of_a_week_are_counted_once_and_said_to_be_estimated(
    database: Database, tenant: Tenant
) -> None:
    found = ask(database, tenant, "2026-03-04", "2026-03-11", metric="visitors", grain="week")
    assert points(found) == [("2026-03-02", None, 2), ("2026-03-09", None, 3)]
    assert (found.first, found.last) == (date(2026, 3, 2), date(2026, 3, 15))
    assert (found.total.value, found.estimated) == (4, True)


def test_a_breakdown_names_members_the_largest_first(database: Database, tenant: Tenant) -> None:
    found = ask(
        database, tenant, "2026-03-01", "2026-03-31", grain="month", breakdown="campaign", metric="value"
    )
    assert points(found) == [("2026-03-01", str(SPRING), 6.0), ("2026-03-01", str(AUTUMN), 3.0)]
    assert found.total.value == 10.0, "what has no campaign is in the total"
    found = ask(database, tenant, "2026-03-01", "2026-03-31", grain="month", breakdown="channel", limit=1)
    assert (points(found), found.omitted) == ([("2026-03-01", "mail", 4)], 1)


def test_a_breakdown_of_one_name(database: Database, tenant: Tenant) -> None:
    found = ask(database, tenant, "2026-03-02", "2026-03-10", breakdown="channel", name="click")
    assert points(found) == [("2026-03-03", "mail", 1)]
    assert found.total.value == 2
    found = ask(database, tenant, "2026-03-02", "2026-03-03", breakdown="name", metric="visitors")
    assert points(found) == [("2026-03-02", "view", 2), ("2026-03-03", "click", 1)]
    assert found.total.value == 2, "the same visitor under two names is one"


def test_a_comparison_is_with_as_many_periods_before(database: Database, tenant: Tenant) -> None:
    found = ask(database, tenant, "2026-03-09", "2026-03-15", compare=True)
    changes = [(item.value, item.previous, item.change) for item in found.items]
    assert changes[:3] == [(1, 2, -0.5), (2, 1, 1.0), (1, 0, None)]
    assert (found.total.value, found.total.previous, found.total.change) == (
        4,
        3,
        pytest.approx(1 / 3, abs=1e-6),
    )


def test_quarters_of_an_hour(database: Database, tenant: Tenant) -> None:
    found = ask(database, tenant, "2026-03-10", "2026-03-10", grain="15m", metric="visitors", compare=True)
    assert len(found.items) == 96
    noon = found.items[48]
    assert (noon.period, noon.value, noon.previous) == (datetime(2026, 3, 10, 12, tzinfo=UTC), 2, 1)


@pytest.mark.parametrize(
    "asked",
    [
        {"grain": "15m", "last": "2026-06-01"},
        {"last": "2028-01-01"},
        {"first": "0001-01-01", "last": "0001-01-01"},
    ],
)
def test_a_range_that_no_answer_holds_is_refused(
    database: Database, organization: Organize, asked: dict[str, object]
) -> None:
    with pytest.raises(QueryTooLargeError, match="first"):
        ask(database, organization(), **({"first": "2026-03-01"} | asked))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "advanced"),
    [
        ({}, False),
        ({"breakdown": "name", "metric": "visitors"}, False),
        ({"breakdown": "campaign"}, True),
        ({"breakdown": "channel"}, True),
        ({"breakdown": "post"}, True),
        ({"compare": True}, True),
        ({"last": "2026-03-01", "grain": "15m"}, False),
        ({"last": "2026-03-03", "grain": "15m"}, True),
        ({"first": "2025-11-29"}, False),
        ({"first": "2025-11-28"}, True),
    ],
    ids=str,
)
def test_what_needs_the_advanced_feature(asked: dict[str, object], *, advanced: bool) -> None:
    query = AnalyticsQuery.model_validate(
        {"first": "2026-03-01", "last": "2026-02-28"} | {"last": "2026-03-01"} | asked
    )
    if "first" in asked:
        query = query.model_copy(update={"last": date(2026, 2, 28)})
    assert needs_advanced(query) is advanced


def test_a_query_as_a_job_keeps_its_answer(database: Database, organization: Organize, run: Run) -> None:
    tenant = organization()
    with tenant_session(database, tenant.organization_id) as session:
        record_events(session, tenant.organization_id, EventBatch(events=EVENTS))
    query = AnalyticsQuery(
        first=date(2026, 3, 10), last=date(2026, 3, 10), breakdown="campaign", compare=True
    )
    result = run(tenant, query_analytics, query).result
    assert result["items"] == [
        {"period": "2026-03-10", "member": str(AUTUMN), "value": 1, "previous": 0, "change": None}
    ]
    assert result["total"]["value"] == 2


def test_a_plan_that_lost_the_feature_ends_the_job_and_names_the_plan_that_has_it(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization(plan="professional")
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(plan="starter"))
    today = datetime.now(UTC).date()
    with pytest.raises(PermanentJobError, match=r"starter.*Upgrade to professional"):
        run(tenant, query_analytics, AnalyticsQuery(first=today - timedelta(days=1), last=today))
