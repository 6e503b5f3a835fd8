"""What jobs work on, over HTTP: leads, events, accounts, posts, campaigns, usage."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, update

from config.settings import Settings
from models.analytics import AnalyticsEvent
from models.lead import Lead, LeadEvent
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from models.social import SocialAccount
from tasks.analytics_rollups.rollup import run_pass
from tasks.vault import Place, Vault
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]


SOME_ID = "01a20765-0000-7000-8000-000000000002"
"""Fixed: parallel test processes must collect the same names."""


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


ACCOUNT = {"platform": "bluesky", "handle": "acme.test", "access_token": "at-secret", "refresh_token": "rt"}


@pytest.fixture
def account(client: httpx.Client, as_acme: Headers) -> str:
    answer = client.post("/api/v1/social/accounts", json=ACCOUNT, headers=as_acme)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_tokens_are_kept_encrypted_and_never_shown(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database, settings: Settings, account: str
) -> None:
    shown = client.get("/api/v1/social/accounts", headers=as_acme).text
    assert account in shown
    assert "token" not in shown
    with tenant_session(database, acme.organization_id) as session:
        row = session.scalars(select(SocialAccount)).one()
    assert row.access_token_encrypted is not None
    assert b"at-secret" not in row.access_token_encrypted
    vault = Vault([settings.credential_secret.get_secret_value().encode()])
    place = Place(acme.organization_id, "social_accounts", "access_token_encrypted", UUID(account))
    assert vault.decrypt(row.access_token_encrypted, place) == "at-secret"


def test_an_account_is_connected_once_until_it_is_disconnected(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, account: str
) -> None:
    refused(client.post("/api/v1/social/accounts", json=ACCOUNT, headers=as_acme), 409)
    assert client.post("/api/v1/social/accounts", json=ACCOUNT, headers=as_globex).status_code == 201
    refused(client.delete(f"/api/v1/social/accounts/{account}", headers=as_globex), 404)
    assert client.delete(f"/api/v1/social/accounts/{account}", headers=as_acme).status_code == 204
    refused(client.delete(f"/api/v1/social/accounts/{account}", headers=as_acme), 404)
    assert client.post("/api/v1/social/accounts", json=ACCOUNT, headers=as_acme).status_code == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"platform": "myspace"}, "platform"),
        ({"access_token": ""}, "access_token"),
        ({"server_url": "http://169.254.169.254/"}, "server_url"),
        ({"status": "active"}, "status"),
    ],
    ids=str,
)
def test_a_bad_account_is_refused_without_repeating_its_token(
    client: httpx.Client, as_acme: Headers, change: dict[str, str], field: str
) -> None:
    answer = client.post("/api/v1/social/accounts", json=ACCOUNT | change, headers=as_acme)
    assert fields(refused(answer, 422)) == [(None, field)]
    assert "at-secret" not in answer.text


def test_a_post_without_a_time_is_a_draft(client: httpx.Client, as_acme: Headers, account: str) -> None:
    post = client.post("/api/v1/social/posts", json={"account_id": account, "text": "Hi"}, headers=as_acme)
    assert post.status_code == 201
    assert (post.json()["state"], post.json()["job_id"]) == ("draft", None)
    assert client.get("/api/v1/jobs", headers=as_acme).json()["items"] == []


def test_a_post_with_a_time_has_its_job(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, account: str
) -> None:
    due = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"account_id": account, "text": "Hi", "scheduled_at": due}
    post = client.post("/api/v1/social/posts", json=body, headers=as_acme).json()
    assert post["state"] == "queued"
    job = client.get(f"/api/v1/jobs/{post['job_id']}", headers=as_acme).json()
    assert job["state"] == "scheduled"
    assert job["payload"]["post_id"] == post["id"]
    assert datetime.fromisoformat(job["run_at"]) == datetime.fromisoformat(due)
    [listed] = client.get("/api/v1/social/posts", params={"state": "queued"}, headers=as_acme).json()["items"]
    assert listed == post
    refused(client.get(f"/api/v1/social/posts/{post['id']}", headers=as_globex), 404)


def test_a_post_through_another_tenants_account_is_refused(
    client: httpx.Client, as_globex: Headers, account: str
) -> None:
    body = {"account_id": account, "text": "Hi"}
    document = refused(client.post("/api/v1/social/posts", json=body, headers=as_globex), 422)
    assert fields(document) == [(None, "account_id")]
    assert client.get("/api/v1/social/posts", headers=as_globex).json()["items"] == []


def test_a_campaign_is_made_read_changed_and_deleted(
    client: httpx.Client, as_acme: Headers, as_globex: Headers
) -> None:
    made = client.post("/api/v1/campaigns", json={"name": "Spring", "budget_cents": 5}, headers=as_acme)
    assert (made.status_code, made.json()["status"]) == (201, "draft")
    path = made.headers["location"]
    assert client.get(path, headers=as_acme).json() == made.json()
    changed = client.patch(path, json={"status": "active", "budget_cents": None}, headers=as_acme).json()
    assert (changed["name"], changed["status"], changed["budget_cents"]) == ("Spring", "active", None)
    active = client.get("/api/v1/campaigns", params={"status": "active"}, headers=as_acme).json()["items"]
    assert active == [changed]
    for method in ("GET", "PATCH", "DELETE"):
        refused(client.request(method, path, json={}, headers=as_globex), 404)
    assert client.delete(path, headers=as_acme).status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        refused(client.request(method, path, json={}, headers=as_acme), 404)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"budget_cents": -1}, "budget_cents"),
        ({"currency": "euro"}, "currency"),
        ({"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"}, "body"),
        ({"organization_id": SOME_ID}, "organization_id"),
        ({"id": SOME_ID}, "id"),
        ({"deleted_at": None}, "deleted_at"),
    ],
    ids=str,
)
def test_a_bad_campaign_is_refused(
    client: httpx.Client, as_acme: Headers, change: dict[str, Any], field: str
) -> None:
    document = refused(client.post("/api/v1/campaigns", json={"name": "A"} | change, headers=as_acme), 422)
    assert fields(document) == [(None, field)]


def test_a_change_that_leaves_a_campaign_without_sense_is_refused(
    client: httpx.Client, as_acme: Headers
) -> None:
    body = {"name": "A", "ends_at": "2026-01-01T00:00:00Z"}
    path = client.post("/api/v1/campaigns", json=body, headers=as_acme).headers["location"]
    change = {"starts_at": "2026-02-01T00:00:00Z"}
    assert fields(refused(client.patch(path, json=change, headers=as_acme), 422)) == [(None, "period")]
    assert client.get(path, headers=as_acme).json()["starts_at"] is None


def test_many_at_once_get_exactly_the_campaigns_of_the_plan(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    small = organization(plan="starter")

    def create(n: int) -> httpx.Response:
        return client.post("/api/v1/campaigns", json={"name": f"Campaign {n}"}, headers=sign(small))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(create, range(16)))
    assert sum(answer.status_code == 201 for answer in answers) == 5
    for answer in answers:
        if answer.status_code != 201:
            document = refused(answer, 403)
            assert document["error"] == "Resource limit exceeded. Upgrade plan to increase campaigns limit"
    gone = client.get("/api/v1/campaigns", headers=sign(small)).json()["items"][0]["id"]
    assert client.delete(f"/api/v1/campaigns/{gone}", headers=sign(small)).status_code == 204
    assert create(17).status_code == 201


def test_usage_shows_what_is_used_reserved_and_allowed(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    small = organization(plan="starter")
    headers = sign(small)
    client.post("/api/v1/campaigns", json={"name": "A"}, headers=headers)
    score = {"kind": "leads.score", "payload": {"all": True, "limit": 70}}
    client.post("/api/v1/jobs", json=score, headers=headers)
    usage = client.get("/api/v1/usage", headers=headers).json()
    meters = {meter["meter"]: meter for meter in usage["meters"]}
    assert usage["plan"] == "starter"
    assert (meters["campaigns"]["used"], meters["campaigns"]["limit"]) == (1, 5)
    scored = meters["leads_scored_month"]
    assert (scored["used"], scored["reserved"], scored["limit"]) == (0, 70, 20_000)
    assert (meters["jobs_month"]["reserved"], meters["jobs_month"]["hard"]) == (1, False)
    assert usage["period_start"] < datetime.now(UTC).isoformat() < usage["period_end"]
