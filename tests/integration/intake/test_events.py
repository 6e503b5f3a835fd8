"""Analytics events and rollups over HTTP."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from models.analytics import AnalyticsEvent
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from tasks.analytics_rollups.rollup import run_pass
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]


MONTH = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
"""The last one: every plan keeps its events."""


def events(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"events": [{"name": "page_viewed", "occurred_at": f"{MONTH}-17T10:05:00Z"} | row for row in rows]}


def test_an_event_with_a_key_counts_once(
    client: httpx.Client, as_acme: Headers, acme: Tenant, as_globex: Headers, database: Database
) -> None:
    body = events({"key": "k-1"}, {"key": "k-2", "value": 2.5}, {"key": "k-1"}, {})
    first = client.post("/api/v1/analytics/events", json=body, headers=as_acme)
    assert (first.status_code, first.json()) == (200, {"recorded": 3, "duplicates": 1})
    again = client.post("/api/v1/analytics/events", json=body, headers=as_acme)
    assert again.json() == {"recorded": 1, "duplicates": 3}
    theirs = client.post("/api/v1/analytics/events", json=events({"key": "k-1"}), headers=as_globex)
    assert theirs.json() == {"recorded": 1, "duplicates": 0}
    with tenant_session(database, acme.organization_id) as session:
        assert len(session.scalars(select(AnalyticsEvent.id)).all()) == 4


def test_batches_of_the_same_events_at_once_count_each_once(client: httpx.Client, as_acme: Headers) -> None:
    body = events(*({"key": f"k-{n}"} for n in range(500)))
    bodies = [body, {"events": body["events"][::-1]}] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda one: client.post("/api/v1/analytics/events", json=one, headers=as_acme), bodies)
        )
    assert sum(answer.json()["recorded"] for answer in answers) == 500


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"occurred_at": "2026-01-01"}, "occurred_at"),
        ({"occurred_at": "2099-01-01T00:00:00Z"}, "occurred_at"),
        ({"value": "1"}, "value"),
        ({"value": 1e300}, "value"),
        ({"xid": 1}, "xid"),
    ],
    ids=str,
)
def test_a_bad_event_is_named_and_none_is_recorded(
    client: httpx.Client, as_acme: Headers, row: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/v1/analytics/events", json=events({"key": "a"}, row), headers=as_acme)
    assert fields(refused(answer, 422)) == [(1, field)]
    retried = client.post("/api/v1/analytics/events", json=events({"key": "a"}), headers=as_acme)
    assert retried.json()["recorded"] == 1


@pytest.mark.parametrize("rolled_up", [False, True])
def test_a_rollup_has_days_of_the_organizations_own_zone(
    client: httpx.Client, acme: Tenant, sign: Callable[..., Headers], database: Database, *, rolled_up: bool
) -> None:
    with tenant_session(database, acme.organization_id) as session:
        session.execute(update(Organization).values(time_zone="Asia/Kathmandu"))
    body = events(
        {"occurred_at": f"{MONTH}-17T18:14:59Z", "visitor": "a", "value": 1},
        {"occurred_at": f"{MONTH}-17T18:15:00Z", "visitor": "a", "value": 2},
        {"occurred_at": f"{MONTH}-17T18:20:00Z", "visitor": "a", "value": 4},
    )
    client.post("/api/v1/analytics/events", json=body, headers=sign(acme))
    if rolled_up:
        with tenant_session(database, acme.organization_id) as session:
            run_pass(session, acme.organization_id)
    span = {"first": f"{MONTH}-01", "last": f"{MONTH}-28"}
    days = client.get("/api/v1/analytics/rollup", params=span, headers=sign(acme)).json()
    assert days["time_zone"] == "Asia/Kathmandu"
    assert [(day["period"], day["events"], day["value_sum"], day["visitors"]) for day in days["items"]] == [
        (f"{MONTH}-17", 1, 1.0, 1),
        (f"{MONTH}-18", 2, 6.0, 1),
    ]
    months = client.get(
        "/api/v1/analytics/rollup", params=span | {"grain": "month"}, headers=sign(acme)
    ).json()["items"]
    assert [(month["period"], month["events"], month["visitors"]) for month in months] == [
        (f"{MONTH}-01", 3, 1)
    ]
    quarters = client.get(
        "/api/v1/analytics/rollup", params=span | {"grain": "15m"}, headers=sign(acme)
    ).json()["items"]
    assert [quarter["events"] for quarter in quarters] == [1, 2]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"grain": "hour"}, "grain"),
        ({"first": "yesterday"}, "first"),
        ({"first": "2026-02-01", "last": "2026-01-01"}, "first"),
        ({"first": "2020-01-01", "last": "2026-01-01"}, "first"),
        ({"last": "9999-12-31"}, "last"),
        ({"last": "0001-01-01"}, "last"),
    ],
    ids=str,
)
def test_a_span_that_makes_no_sense_is_refused(
    client: httpx.Client, as_acme: Headers, query: dict[str, str], field: str
) -> None:
    document = refused(client.get("/api/v1/analytics/rollup", params=query, headers=as_acme), 422)
    assert fields(document) == [(None, field)]
