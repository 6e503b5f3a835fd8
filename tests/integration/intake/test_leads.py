"""Leads and what they do, over HTTP."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select

from models.lead import Lead, LeadEvent
from models.organization import Tenant
from models.session import Database, tenant_session
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]


def leads(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"leads": [{"external_id": f"lead-{n}"} | row for n, row in enumerate(rows)]}


def test_leads_are_created_then_brought_up_to_date(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    first = leads(
        {"email": " Ann@Example.com", "company": "Initech", "attributes": {"visits": 3, "city": "Pune"}},
        {"status": "qualified", "converted": True},
    )
    answer = client.post("/api/v1/leads/import", json=first, headers=as_acme)
    assert (answer.status_code, answer.json()) == (200, {"created": 2, "updated": 0})
    second = leads({"company": "Globex", "attributes": {"visits": 4}}, {"phone": "1"}, {})
    answer = client.post("/api/v1/leads/import", json=second, headers=as_acme)
    assert answer.json() == {"created": 1, "updated": 2}

    with tenant_session(database, acme.organization_id) as session:
        rows = {lead.external_id: lead for lead in session.scalars(select(Lead))}
    ann = rows["lead-0"]
    assert (ann.email, ann.email_norm) == ("Ann@Example.com", "ann@example.com")
    assert ann.company == "Globex"
    assert ann.attributes == {"visits": 4, "city": "Pune"}
    assert (rows["lead-1"].status, rows["lead-1"].converted) == ("qualified", True)
    assert (rows["lead-2"].status, rows["lead-2"].converted) == ("new", False)
    assert len({lead.id for lead in rows.values()}) == 3


def test_five_thousand_leads_are_one_request(client: httpx.Client, as_acme: Headers) -> None:
    body = leads(*({"attributes": {"visits": n}} for n in range(5_000)))
    assert client.post("/api/v1/leads/import", json=body, headers=as_acme).json()["created"] == 5_000
    assert client.post("/api/v1/leads/import", json=body, headers=as_acme).json()["updated"] == 5_000
    too_many = {"leads": [*body["leads"], {"external_id": "one-more"}]}
    refused(client.post("/api/v1/leads/import", json=too_many, headers=as_acme), 422)


def test_imports_of_the_same_leads_at_once_make_each_once(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    body = leads(*({} for _ in range(300)))
    bodies = [body, {"leads": body["leads"][::-1]}] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda one: client.post("/api/v1/leads/import", json=one, headers=as_acme), bodies)
        )
    assert [answer.status_code for answer in answers] == [200] * 8
    assert sum(answer.json()["created"] for answer in answers) == 300
    with tenant_session(database, acme.organization_id) as session:
        assert len(session.scalars(select(Lead.id)).all()) == 300


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"external_id": ""}, "external_id"),
        ({"external_id": 7}, "external_id"),
        ({"email": "nobody"}, "email"),
        ({"status": "rich"}, "status"),
        ({"score": 100}, "score"),
        ({"attributes": {"a": {"b": 1}}}, "attributes"),
        ({"attributes": {"a": [1]}}, "attributes"),
        ({"attributes": {"a": 2**60}}, "attributes"),
        ({"attributes": {"a": "\u0000"}}, "attributes"),
        ({"attributes": {"\u0000": 1}}, "attributes"),
        ({"attributes": {str(n): n for n in range(201)}}, "attributes"),
        ({"converted": "yes"}, "converted"),
        ({"converted_at": "1066-10-14T00:00:00Z"}, "converted_at"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_lead_is_named_and_none_is_imported(
    client: httpx.Client, as_acme: Headers, row: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/v1/leads/import", json=leads({}, row), headers=as_acme)
    assert fields(refused(answer, 422)) == [(1, field)]
    assert client.get("/api/v1/leads", headers=as_acme).json()["items"] == []


def test_the_same_lead_twice_in_one_request_is_refused(client: httpx.Client, as_acme: Headers) -> None:
    body = {"leads": [{"external_id": "a"}, {"external_id": "b"}, {"external_id": "a"}]}
    error = refused(client.post("/api/v1/leads/import", json=body, headers=as_acme), 422)["error"]
    assert "items 0 and 2" in error


def test_a_lead_of_a_campaign_that_is_not_ours_is_refused_like_one_of_none(
    client: httpx.Client, as_acme: Headers, as_globex: Headers
) -> None:
    theirs = client.post("/api/v1/campaigns", json={"name": "Theirs"}, headers=as_globex).json()["id"]
    documents = []
    for campaign in (theirs, str(uuid4())):
        answer = client.post("/api/v1/leads/import", json=leads({"campaign_id": campaign}), headers=as_acme)
        documents.append(refused(answer, 422))
        documents[-1].pop("request_id")
    assert documents[0] == documents[1]
    assert fields(documents[0]) == [(None, "campaign_id")]


def test_leads_are_listed_by_score_page_by_page(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    client.post("/api/v1/leads/import", json=leads(*({} for _ in range(30))), headers=as_acme)
    with tenant_session(database, acme.organization_id) as session:
        for n, lead in enumerate(session.scalars(select(Lead))):
            lead.score = float(n // 3) * 10.5
    read: list[Any] = []
    query: dict[str, Any] = {"limit": 7}
    while True:
        page = client.get("/api/v1/leads", params=query, headers=as_acme).json()
        read += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [lead["score"] for lead in read] == [n // 3 * 10.5 for n in range(29, -1, -1)]
    assert len({lead["id"] for lead in read}) == 30
    best = client.get("/api/v1/leads", params={"min_score": 84}, headers=as_acme).json()["items"]
    assert {lead["score"] for lead in best} == {94.5, 84.0}


def test_another_tenants_lead_cannot_be_told_from_an_absent_one(
    client: httpx.Client, as_acme: Headers, as_globex: Headers
) -> None:
    client.post("/api/v1/leads/import", json=leads({}), headers=as_acme)
    [lead] = client.get("/api/v1/leads", headers=as_acme).json()["items"]
    assert client.get(f"/api/v1/leads/{lead['id']}", headers=as_acme).status_code == 200
    refused(client.get(f"/api/v1/leads/{lead['id']}", headers=as_globex), 404)
    assert client.get("/api/v1/leads", headers=as_globex).json()["items"] == []


def test_events_of_leads_are_recorded_once(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    client.post("/api/v1/leads/import", json=leads({}), headers=as_acme)
    event = {"lead": "lead-0", "name": "demo_requested", "occurred_at": "2026-01-31T09:00:00Z"}
    body = {"events": [event | {"external_id": "e-1"}, event, event | {"lead": "nobody"}]}
    first = client.post("/api/v1/leads/events", json=body, headers=as_acme).json()
    assert first == {"recorded": 2, "duplicates": 0, "unknown": 1}
    again = client.post("/api/v1/leads/events", json=body, headers=as_acme).json()
    assert again == {"recorded": 1, "duplicates": 1, "unknown": 1}
    with tenant_session(database, acme.organization_id) as session:
        assert len(session.scalars(select(LeadEvent.id)).all()) == 3


def test_a_viewer_may_not_import(client: httpx.Client, acme: Tenant, sign: Callable[..., Headers]) -> None:
    answer = client.post("/api/v1/leads/import", json=leads({}), headers=sign(acme, role="viewer"))
    refused(answer, 403)
