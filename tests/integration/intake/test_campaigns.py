"""Campaigns and usage over HTTP."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from models.organization import Tenant
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]

SOME_ID = "01a20765-0000-7000-8000-000000000002"
"""Fixed: parallel test processes must collect the same names."""


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
