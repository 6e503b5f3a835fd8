"""The main job: over HTTP in, by a real worker through, out as rows of its tenant."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from ops.token import mint_token
from tests.support.service import Services
from tests.support.wait import wait_until

QUICK = {"GENIUS_RELAY_INTERVAL": "0.5"}
DUE_IN = timedelta(seconds=10)
"""Long enough to say so before: a machine may let nobody run for seconds."""
LEADS = [
    {"external_id": "a", "email": "a@example.org", "job_title": "Head of Growth", "company": "Acme"},
    {"external_id": "b", "email": "b@example.org"},
]


def client_of(url: str, settings: Settings, tenant: Tenant) -> httpx.Client:
    token = mint_token(settings, tenant)
    return httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=20)


def finished(client: httpx.Client, job_id: str) -> dict[str, object]:
    def look() -> dict[str, object] | None:
        job: dict[str, object] = client.get(f"/jobs/{job_id}").json()
        return job if job["state"] in {"succeeded", "dead", "cancelled"} else None

    return wait_until(look, timeout=60)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_leads_are_scored_for_their_tenant_only(
    database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    settings: Settings,
    pool: str,
) -> None:
    mine, other = organization(name="Mine"), organization(name="Other")
    url = services.intake(QUICK).url
    services.worker(pool=pool, environment=QUICK)
    with client_of(url, settings, mine) as client, client_of(url, settings, other) as stranger:
        assert client.post("/leads/import", json={"leads": LEADS}).json() == {"created": 2, "updated": 0}
        accepted = client.post("/jobs", json={"kind": "leads.score", "payload": {"all": True}})
        assert accepted.status_code == 202

        job = finished(client, accepted.json()["id"])
        assert job["state"] == "succeeded", job
        best, worst = client.get("/leads").json()["items"]
        assert (best["external_id"], worst["external_id"]) == ("a", "b")
        assert best["score"] == 25
        events = [event["state"] for event in client.get(f"/jobs/{job['id']}/events").json()]
        assert events == ["queued", "running", "succeeded"]

        assert stranger.get(f"/jobs/{job['id']}").status_code == 404
        assert stranger.get("/leads").json()["items"] == []


def test_a_scheduled_job_runs_when_it_is_due_and_not_before(
    database: Database, organization: Callable[..., Tenant], services: Services, settings: Settings
) -> None:
    tenant = organization()
    url = services.intake(QUICK).url
    services.worker(pool="threads", environment=QUICK)
    due = datetime.now(UTC) + DUE_IN
    with client_of(url, settings, tenant) as client:
        body = {"kind": "quota.account", "payload": {}, "run_at": due.isoformat()}
        accepted = client.post("/jobs", json=body).json()
        assert accepted["state"] == "scheduled"
        assert client.get(f"/jobs/{accepted['id']}/explain").status_code == 200
        job = finished(client, accepted["id"])

    assert job["state"] == "succeeded"
    started = datetime.fromisoformat(str(job["started_at"]))
    assert timedelta(0) <= started - due < timedelta(seconds=5)


def test_a_job_of_a_suspended_organization_waits(
    database: Database, organization: Callable[..., Tenant], services: Services, settings: Settings
) -> None:
    tenant = organization(status="suspended")
    url = services.intake(QUICK).url
    with client_of(url, settings, tenant) as client:
        refused = client.post("/jobs", json={"kind": "quota.account", "payload": {}})
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
