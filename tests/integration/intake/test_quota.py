"""Quota over HTTP: what is allowed, what is refused, and what the tenant is told of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import update
from uuid_utils.compat import uuid7

from models.content import ContentAsset
from models.organization import Organization, Tenant, load_tenant
from models.quota import Quota
from models.session import Database, tenant_session
from tests.integration.intake.problems import refused

Headers = dict[str, str]
Limited = Callable[..., Tenant]
ACCOUNT = {"kind": "quota.account", "payload": {}}
CLIENTS = 16
LIMIT = 1_000
TOGETHER = 10


@pytest.fixture
def limited(organization: Callable[..., Tenant], database: Database) -> Limited:
    """Make an organization: ``limited(time_zone="UTC", soft=(), campaigns=2)``."""

    def make(*, time_zone: str = "UTC", soft: tuple[str, ...] = (), **limits: int) -> Tenant:
        own = organization().organization_id
        terms = {meter: {"amount": amount, "hard": meter not in soft} for meter, amount in limits.items()}
        with tenant_session(database, own) as session:
            values = {"plan_overrides": {"limits": terms}, "time_zone": time_zone}
            session.execute(update(Organization).values(**values))
        tenant = load_tenant(database, own)
        assert tenant is not None
        return tenant

    return make


def meters(client: httpx.Client, headers: Headers) -> dict[str, dict[str, Any]]:
    usage = client.get("/api/v1/usage", headers=headers).json()
    return {meter["meter"]: meter for meter in usage["meters"]}


def test_the_third_campaign_over_a_limit_of_two_is_refused(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    headers = sign(limited(campaigns=2))
    for name in ("One", "Two"):
        assert client.post("/api/v1/campaigns", json={"name": name}, headers=headers).status_code == 201
    document = refused(client.post("/api/v1/campaigns", json={"name": "Three"}, headers=headers), 403)
    assert "limit exceeded" in document["error"]
    assert (document["meter"], document["limit"]) == ("campaigns", 2)
    assert "resets_at" not in document, "campaigns do not go by themselves"
    assert len(client.get("/api/v1/campaigns", headers=headers).json()["items"]) == 2


def test_what_belongs_to_another_tenant_is_not_found(
    client: httpx.Client, as_acme: Headers, as_globex: Headers
) -> None:
    made = client.post("/api/v1/campaigns", json={"name": "Ours"}, headers=as_acme)
    path = made.headers["location"]
    assert client.get(path, headers=as_acme).status_code == 200
    theirs = refused(client.get(path, headers=as_globex), 404)
    absent = refused(client.get(f"/api/v1/campaigns/{uuid7()}", headers=as_globex), 404)
    assert theirs["error"] == absent["error"]


def test_of_sixteen_clients_exactly_a_thousand_jobs_are_accepted(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    headers = sign(limited(jobs_month=LIMIT))

    def submit(path: str, body: dict[str, Any]) -> int:
        answer = client.post(f"/api/v1/jobs{path}", json=body, headers=headers)
        if answer.status_code == 202:
            return len(body.get("jobs", [body]))
        assert refused(answer, 403)["meter"] == "jobs_month"
        return 0

    def submit_until_refused(_: int) -> int:
        accepted, more = 0, 1
        while more:
            accepted += submit("/batch", {"jobs": [ACCOUNT] * TOGETHER})
            more = submit("", ACCOUNT)
            accepted += more
        return accepted

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(submit_until_refused, range(CLIENTS))) == LIMIT
    found = meters(client, headers)["jobs_month"]
    assert (found["reserved"], found["left"], found["limit"]) == (LIMIT, 0, LIMIT)


def test_a_refusal_says_when_there_is_room_again(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    headers = sign(limited(jobs_month=1))
    assert client.post("/api/v1/jobs", json=ACCOUNT, headers=headers).status_code == 202
    document = refused(client.post("/api/v1/jobs", json=ACCOUNT, headers=headers), 403)
    resets_at = datetime.fromisoformat(document["resets_at"])
    assert resets_at > datetime.now(UTC)
    assert resets_at == datetime.fromisoformat(meters(client, headers)["jobs_month"]["resets_at"])


def test_usage_is_told_in_the_organizations_zone(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    usage = client.get("/api/v1/usage", headers=sign(limited(time_zone="Asia/Kathmandu"))).json()
    begin = datetime.fromisoformat(usage["period_start"])
    assert usage["time_zone"] == "Asia/Kathmandu"
    assert usage["period_start"].endswith("T00:00:00+05:45")
    assert begin == begin.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert usage["period_end"] == meters_of(usage)["jobs_month"]["resets_at"]
    assert meters_of(usage)["campaigns"]["resets_at"] is None


def meters_of(usage: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {meter["meter"]: meter for meter in usage["meters"]}


def test_usage_tells_of_every_meter_how_it_stands(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers], database: Database
) -> None:
    tenant = limited(soft=("posts_month",), posts_month=10, leads_scored_month=10, storage_gb=2)
    with tenant_session(database, tenant.organization_id) as session:
        quota = Quota(session, tenant)
        quota.record_usage("posts_month", 11, source=uuid7())
        quota.record_usage("leads_scored_month", 3, source=uuid7())
        quota.reserve("leads_scored_month", 4, holder=uuid7())
        session.add(
            ContentAsset(
                organization_id=tenant.organization_id, kind="image", title="A", byte_size=500_000_000
            )
        )
    found = meters(client, sign(tenant))
    assert sorted(found) == [
        "api_calls_hour",
        "campaigns",
        "jobs_month",
        "leads_scored_month",
        "posts_month",
        "schedules",
        "social_accounts",
        "storage_gb",
        "users",
        "worker_seconds_month",
    ]
    leads, posts, storage = (found[name] for name in ("leads_scored_month", "posts_month", "storage_gb"))
    assert (leads["used"], leads["reserved"], leads["left"], leads["flagged"]) == (3, 4, 3, False)
    assert (posts["left"], posts["flagged"], posts["hard"], posts["refused_beyond"]) == (0, True, False, 11)
    assert (storage["used"], storage["left"], storage["limit"]) == (0.5, 1.5, 2)


def test_usage_counts_the_call_that_asks(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    headers = sign(limited(api_calls_hour=100))
    seen = [meters(client, headers)["api_calls_hour"] for _ in range(3)]
    assert [(meter["used"], meter["left"], meter["limit"]) for meter in seen] == [
        (1, 99, 100),
        (2, 98, 100),
        (3, 97, 100),
    ]
    assert datetime.fromisoformat(seen[2]["resets_at"]) > datetime.now(UTC)


def test_usage_lists_the_alerts_of_the_period(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers], database: Database
) -> None:
    tenant, neighbour = limited(posts_month=10), limited(posts_month=10)
    with tenant_session(database, tenant.organization_id) as session:
        Quota(session, tenant).record_usage("posts_month", 8, source=uuid7())
    [alert] = client.get("/api/v1/usage", headers=sign(tenant)).json()["alerts"]
    assert (alert["meter"], alert["threshold"], alert["used"], alert["limit"]) == ("posts_month", 80, 8, 10)
    assert client.get("/api/v1/usage", headers=sign(neighbour)).json()["alerts"] == []


def test_usage_of_one_tenant_says_nothing_of_another(
    client: httpx.Client, limited: Limited, sign: Callable[..., Headers]
) -> None:
    busy, idle = limited(jobs_month=100), limited(jobs_month=100)
    client.post("/api/v1/jobs", json=ACCOUNT, headers=sign(busy))
    assert meters(client, sign(idle))["jobs_month"]["reserved"] == 0
