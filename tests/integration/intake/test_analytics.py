"""Analytics over HTTP: clocks, corrections, erasures, queries and their gates."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from config.plans import PLANS
from models.analytics import AnalyticsEvent
from models.audit import AuditEntry, audit_entries
from models.organization import Tenant
from models.session import Database, tenant_session
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]
Organize = Callable[..., Tenant]
Sign = Callable[..., Headers]

NOW = datetime.now(UTC)
TODAY = NOW.date().isoformat()


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


def send(client: httpx.Client, headers: Headers, *events: dict[str, Any], **more: Any) -> httpx.Response:
    body = {"events": [{"name": "view", "occurred_at": ago(minutes=1)} | event for event in events]} | more
    return client.post("/api/v1/analytics/events", json=body, headers=headers)


def ask(client: httpx.Client, headers: Headers, **asked: Any) -> httpx.Response:
    now = datetime.now(UTC)
    began = now - timedelta(minutes=5)  # the day in which a test began may be over
    params = {"first": began.date().isoformat(), "last": now.date().isoformat()} | asked
    return client.get("/api/v1/analytics/query", params=params, headers=headers)


def test_an_event_from_the_future_is_refused_and_told_by_how_much(
    client: httpx.Client, as_acme: Headers
) -> None:
    assert send(client, as_acme, {"occurred_at": ago(minutes=-14)}).status_code == 200
    document = refused(send(client, as_acme, {}, {"occurred_at": ago(hours=-3)}), 422)
    assert fields(document) == [(1, "occurred_at")]
    assert "2 hours in the future" in document["detail"] or "3 hours in the future" in document["detail"]
    assert "15 minutes" in document["detail"]


@pytest.mark.parametrize("plan", list(PLANS))
def test_an_event_older_than_the_plan_keeps_is_refused(
    client: httpx.Client, sign: Sign, organization: Organize, plan: str
) -> None:
    headers, days = sign(organization(plan=plan)), PLANS[plan].event_days
    assert send(client, headers, {"occurred_at": ago(days=days - 0.1)}).status_code == 200
    document = refused(send(client, headers, {"occurred_at": ago(days=days + 0.1)}), 422)
    assert fields(document) == [(0, "occurred_at")]
    assert f"the plan {plan} keeps raw events for {days} days" in document["detail"]


def test_an_event_whose_raw_neighbours_are_gone_is_refused_after_an_upgrade(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    with tenant_session(database, acme.organization_id) as session:
        session.execute(
            text(
                "INSERT INTO analytics_watermarks (organization_id, rollup, raw_from)"
                " VALUES (:id, 'quarter_hours', now() - interval '92 days')"
            ),
            {"id": acme.organization_id},
        )
    refused(send(client, as_acme, {"occurred_at": ago(days=93)}), 422)
    assert send(client, as_acme, {"occurred_at": ago(days=91)}).status_code == 200


def test_a_wrong_clock_is_put_right_by_what_it_said_when_sending(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    two_hours_fast = {"occurred_at": ago(hours=-2, minutes=5)}
    assert send(client, as_acme, two_hours_fast, sent_at=ago(hours=-2)).status_code == 200
    with tenant_session(database, acme.organization_id) as session:
        [moment] = session.scalars(select(AnalyticsEvent.occurred_at))
    assert abs(moment - (datetime.now(UTC) - timedelta(minutes=5))) < timedelta(seconds=50)
    document = refused(send(client, as_acme, {}, sent_at=ago(days=3)), 422)
    assert fields(document) == [(None, "sent_at")]


def test_today_is_there_to_the_second(client: httpx.Client, as_acme: Headers) -> None:
    for count in (1, 2):
        send(client, as_acme, {"occurred_at": datetime.now(UTC).isoformat(), "visitor": str(count)})
        assert ask(client, as_acme, metric="visitors").json()["total"]["value"] == count


def test_a_correction_and_an_erasure_show_at_once(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    moment = datetime.now(UTC).isoformat()
    event = {"occurred_at": moment, "visitor": "ann", "value": 5}
    send(client, as_acme, event | {"key": "a"}, event | {"key": "b"}, event | {"visitor": "bob"})
    fixed = {"name": "view", "occurred_at": moment, "visitor": "ann", "value": 7}
    corrections = [{"key": "a", "event": fixed}, {"key": "b", "event": None}, {"key": "c", "event": None}]
    answer = client.post(
        "/api/v1/analytics/events/corrections", json={"corrections": corrections}, headers=as_acme
    )
    assert answer.json() == {"replaced": 1, "removed": 1, "unknown": ["c"]}
    assert ask(client, as_acme, metric="value").json()["total"]["value"] == 12
    erased = client.post("/api/v1/analytics/erasures", json={"visitors": ["ann"]}, headers=as_acme)
    assert erased.json()["events"] == 1
    assert ask(client, as_acme, metric="value").json()["total"]["value"] == 5
    with tenant_session(database, acme.organization_id) as session:
        [entry] = session.execute(audit_entries().where(AuditEntry.action == "analytics.erased"))
        assert entry.detail == {"visitors": 1, "events": 1}, "how many, not whom"


def test_a_correction_keeps_the_rules_of_clocks(client: httpx.Client, as_acme: Headers) -> None:
    event = {"name": "view", "occurred_at": ago(days=-2)}
    body = {"corrections": [{"key": "a", "event": None}, {"key": "b", "event": event}]}
    answer = client.post("/api/v1/analytics/events/corrections", json=body, headers=as_acme)
    assert fields(refused(answer, 422)) == [(1, "event.occurred_at")]
    twice = {"corrections": [{"key": "a", "event": None}] * 2}
    refused(client.post("/api/v1/analytics/events/corrections", json=twice, headers=as_acme), 422)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("events/corrections", {"corrections": [{"key": "a", "event": None}]}),
        ("erasures", {"visitors": ["ann"]}),
    ],
)
def test_a_viewer_may_not_change_what_was_counted(
    client: httpx.Client, acme: Tenant, sign: Sign, path: str, body: dict[str, Any]
) -> None:
    refused(client.post(f"/api/v1/analytics/{path}", json=body, headers=sign(acme, role="viewer")), 403)


def test_no_tenant_reaches_anothers_events(
    client: httpx.Client, as_acme: Headers, as_globex: Headers
) -> None:
    send(client, as_acme, {"key": "a", "visitor": "ann", "occurred_at": datetime.now(UTC).isoformat()})
    body = {"corrections": [{"key": "a", "event": None}]}
    theirs = client.post("/api/v1/analytics/events/corrections", json=body, headers=as_globex)
    assert theirs.json() == {"replaced": 0, "removed": 0, "unknown": ["a"]}
    erased = client.post("/api/v1/analytics/erasures", json={"visitors": ["ann"]}, headers=as_globex)
    assert erased.json() == {"events": 0, "quarters": 0}
    assert ask(client, as_globex).json()["total"]["value"] == 0
    assert ask(client, as_acme).json()["total"]["value"] == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"breakdown": "campaign"},
        {"compare": "true"},
        {"first": (NOW - timedelta(days=100)).date().isoformat()},
        {"first": (NOW - timedelta(days=3)).date().isoformat(), "grain": "15m"},
    ],
    ids=str,
)
def test_a_starter_asking_for_more_is_told_which_plan_has_it(
    client: httpx.Client, sign: Sign, organization: Organize, asked: dict[str, Any]
) -> None:
    starter = sign(organization(plan="starter"))
    document = refused(ask(client, starter, **asked), 403)
    assert document["type"].endswith("feature-not-in-plan")
    assert "Upgrade to professional" in document["detail"]
    assert ask(client, starter, breakdown="name").status_code == 200
    assert ask(client, sign(organization(plan="professional")), **asked).status_code == 200


def test_a_starter_can_neither_submit_a_query_nor_read_long_rollups(
    client: httpx.Client, sign: Sign, organization: Organize
) -> None:
    starter = sign(organization(plan="starter"))
    job = {"kind": "analytics.query", "payload": {"first": TODAY, "last": TODAY}}
    assert "professional" in refused(client.post("/api/v1/jobs", json=job, headers=starter), 403)["detail"]
    long_ago = (NOW - timedelta(days=200)).date().isoformat()
    answer = client.get("/api/v1/analytics/rollup", params={"first": long_ago}, headers=starter)
    refused(answer, 403)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"metric": "clicks"}, "metric"),
        ({"grain": "hour"}, "grain"),
        ({"first": "2026-13-01"}, "first"),
        ({"breakdown": "visitor"}, "breakdown"),
        ({"limit": 0}, "limit"),
        ({"last": "2001-01-01"}, ""),
        ({"first": "2010-01-01"}, "first"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_a_query_that_makes_no_sense_names_its_field(
    client: httpx.Client, as_acme: Headers, asked: dict[str, Any], field: str
) -> None:
    document = refused(ask(client, as_acme, **asked), 422)
    assert [name for _, name in fields(document)] == [field] or (field == "" and document["errors"])
