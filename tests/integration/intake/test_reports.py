"""Reports through the API: produced by a job, read in three formats, looking as their owner wishes."""

import hashlib
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from uuid_utils.compat import uuid7

from models.job import Job
from models.organization import Tenant
from models.report import Report
from models.session import Database, tenant_session
from tests.integration.intake.problems import refused as document_of
from tests.unit.reports.test_look import PNG

Headers = dict[str, str]


def refused(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Return the problem document of a refusal of this kind."""
    document = document_of(answer, status)
    assert document["type"] == f"urn:genius:problem:{slug}"
    return document


Sign = Callable[..., Headers]
Keep = Callable[..., str]


@pytest.fixture
def keep(database: Database) -> Keep:
    """Keep a report of a tenant and return its id."""

    def insert(tenant: Tenant, *, first_day: date = date(2026, 9, 28), revision: int = 1) -> str:
        document = json.dumps({"shape_version": 1, "week": str(first_day)})
        row = Report(
            organization_id=tenant.organization_id,
            id=uuid7(),
            grain="week",
            first_day=first_day,
            last_day=first_day,
            time_zone="Europe/Berlin",
            revision=revision,
            shape_version=1,
            sha256=hashlib.sha256(document.encode()).digest(),
            document=document,
            csv="section\r\n",
            html="<!doctype html><title>מאפייה</title>",
        )
        with tenant_session(database, tenant.organization_id) as session:
            session.add(row)
        return str(row.id)

    return insert


def test_a_report_is_asked_for_and_becomes_one_job(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    headers = as_acme | {"Idempotency-Key": "september"}
    body = {"grain": "month", "day": "2026-09-01"}
    answers = [client.post("/api/v1/reports", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].headers["Location"] == f"/api/v1/jobs/{answers[0].json()['id']}"
    assert [answer.json()["replayed"] for answer in answers] == [False, True]
    with tenant_session(database, acme.organization_id) as session:
        [job] = session.scalars(select(Job)).all()
    assert (job.kind, job.payload) == ("reports.produce", body | {"again": False})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"grain": "year"}, "grain"),
        ({"day": "2026-13-01"}, "day"),
        ({"day": "1889-01-01"}, "day"),
        ({"again": 1}, "again"),
        ({"days": 1}, "days"),
    ],
)
def test_a_wrong_wish_is_refused_by_field(
    client: httpx.Client, as_acme: Headers, body: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/v1/reports", json=body, headers=as_acme)
    assert refused(answer, 422, "invalid-request")["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("query", "accept", "media", "content"),
    [
        ("", None, "application/json", "shape_version"),
        ("", "*/*", "application/json", "shape_version"),
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", "מאפייה"),
        ("", "text/csv", "text/csv; charset=utf-8", "section"),
        ("", "text/csv;q=0.2, application/json;q=0.9", "application/json", "shape_version"),
        ("?format=csv", "text/html", "text/csv; charset=utf-8", "section"),
        ("?format=html", None, "text/html; charset=utf-8", "מאפייה"),
    ],
)
def test_a_report_comes_in_the_format_asked_for(
    client: httpx.Client,
    acme: Tenant,
    as_acme: Headers,
    keep: Keep,
    query: str,
    accept: str | None,
    media: str,
    content: str,
) -> None:
    headers = as_acme | ({"Accept": accept} if accept else {})
    answer = client.get(f"/api/v1/reports/{keep(acme)}{query}", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media)
    assert content in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_a_report_does_not_come_in_is_said(
    client: httpx.Client, acme: Tenant, as_acme: Headers, keep: Keep
) -> None:
    path = f"/api/v1/reports/{keep(acme)}"
    refused(client.get(path, headers=as_acme | {"Accept": "image/png"}), 406, "not-acceptable")
    refused(client.get(f"{path}?format=pdf", headers=as_acme), 422, "invalid-request")


def test_reports_are_listed_latest_first_and_page_by_page(
    client: httpx.Client, acme: Tenant, as_acme: Headers, keep: Keep
) -> None:
    weeks = [date(2026, 9, 7), date(2026, 9, 14), date(2026, 9, 21)]
    ids = [keep(acme, first_day=week) for week in weeks] + [keep(acme, first_day=weeks[2], revision=2)]
    first = client.get("/api/v1/reports?limit=3", headers=as_acme).json()
    rest = client.get(f"/api/v1/reports?limit=3&cursor={first['next_cursor']}", headers=as_acme).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next_cursor"] is None
    assert len(first["items"][0]["sha256"]) == 64
    assert client.get("/api/v1/reports?grain=month", headers=as_acme).json()["items"] == []


def test_another_tenants_report_does_not_exist(
    client: httpx.Client, globex: Tenant, as_acme: Headers, keep: Keep
) -> None:
    refused(client.get(f"/api/v1/reports/{keep(globex)}", headers=as_acme), 404, "not-found")
    assert client.get("/api/v1/reports", headers=as_acme).json()["items"] == []


def test_a_viewer_reads_and_does_not_produce_or_brand(
    client: httpx.Client, acme: Tenant, sign: Sign, keep: Keep
) -> None:
    viewer = sign(acme, role="viewer")
    assert client.get(f"/api/v1/reports/{keep(acme)}", headers=viewer).status_code == 200
    refused(client.post("/api/v1/reports", json={}, headers=viewer), 403, "permission-missing")
    refused(client.put("/api/v1/reports/branding", json={}, headers=viewer), 403, "permission-missing")


def test_branding_is_kept_and_taken_back(client: httpx.Client, as_acme: Headers) -> None:
    look = {"name": "Acme & Söhne", "colour": "#FFD400", "logo": PNG, "logo_text": "A"}
    put = client.put("/api/v1/reports/branding", json=look, headers=as_acme)
    assert put.json() == look | {"colour": "#ffd400", "accent": None}
    assert client.get("/api/v1/reports/branding", headers=as_acme).json() == put.json()
    assert client.delete("/api/v1/reports/branding", headers=as_acme).status_code == 204
    plain = client.get("/api/v1/reports/branding", headers=as_acme).json()
    assert set(plain.values()) == {None}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"colour": "red;}"}, "colour"),
        ({"logo": "PHN2Zz4="}, "logo"),
        ({"logo": "x" * 70_000}, "logo"),
        ({"name": ""}, "name"),
    ],
)
def test_branding_that_cannot_be_is_refused_by_field(
    client: httpx.Client, as_acme: Headers, body: dict[str, Any], field: str
) -> None:
    answer = client.put("/api/v1/reports/branding", json=body, headers=as_acme)
    assert refused(answer, 422, "invalid-request")["errors"][0]["field"] == field


def test_a_starter_is_told_which_plan_has_branding(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Sign, database: Database
) -> None:
    starter = organization(plan="starter")
    answer = client.put("/api/v1/reports/branding", json={"name": "A"}, headers=sign(starter))
    problem = refused(answer, 403, "feature-not-in-plan")
    assert "Upgrade to professional" in problem["detail"]
    with tenant_session(database, starter.organization_id) as session:
        assert session.execute(text("SELECT FROM settings")).all() == []
