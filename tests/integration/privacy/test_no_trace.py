"""Erasure leaves no trace: real intake, worker and posting server; then everything is searched."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import insert, select, text
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.alert import AlertDelivery, DeliveryAttempt, WebhookEndpoint
from models.audit import AuditEntry, AuditName
from models.job import DeadLetter, PastJob
from models.organization import Tenant
from models.report import Report
from models.session import Database, RelayDatabase, tenant_session
from models.user import Role
from ops.stack import PostgresUrls
from ops.token import mint_token
from tests.integration.families.stand_in import StandIn, run_stand_in
from tests.integration.privacy.search import in_files, in_redis, in_tables
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.relay import publish_outbox

EMAIL, NAME, PHONE, KNOWN_AS = (
    "Lea.Quxwort@mail.example",
    "Lea Quxwort",
    "+49 151 2345678",
    "crm-quxwort-4711",
)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class House:
    """Running processes, and all places in which they leave anything."""

    client: httpx.Client
    database: Database
    relay: RelayDatabase
    publisher: Publisher
    settings: Settings
    superuser_url: str
    stand_in: StandIn
    folder: Path
    logs: Path

    def until(self, done: Callable[[], Any]) -> Any:
        """Publish what waits until *done* answers something."""

        def look() -> Any:
            publish_outbox(self.relay, self.publisher)
            return done()

        return wait_until(look, timeout=120)

    def request_done(self, answer: httpx.Response) -> dict[str, Any]:
        """Wait for an export or erasure and return it."""
        assert answer.status_code == 202, answer.text
        path = answer.headers["Location"]

        def ended() -> dict[str, Any] | None:
            shown: dict[str, Any] = self.client.get(path).json()
            return shown if shown["state"] in {"succeeded", "failed"} else None

        done: dict[str, Any] = self.until(ended)
        return done

    def traces(self, *strings: str) -> dict[str, list[str]]:
        """Search everything; return where any of *strings* is found, by kind of place."""
        published = self.stand_in.http.get("/admin/accounts/bluesky/acme.test").text.lower()
        places = {
            "tables": in_tables(self.superuser_url, strings),
            "redis": in_redis(str(self.settings.redis_url), strings),
            "files": in_files(self.folder, strings),
            "logs": in_files(self.logs, strings),
            "platform": [string for string in strings if string.lower() in published],
        }
        return {kind: found for kind, found in places.items() if found}


@pytest.fixture
def acme(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="enterprise", name="Acme")


@pytest.fixture
def house(
    acme: Tenant,
    services: Services,
    settings: Settings,
    database: Database,
    relay_database: RelayDatabase,
    database_urls: PostgresUrls,
    test_directory: Path,
    tmp_path: Path,
) -> Iterator[House]:
    assert database_urls.superuser_url is not None
    with run_stand_in() as stand_in:
        environment = {
            "GENIUS_MEDIA_DIRECTORY": str(tmp_path / "media"),
            "GENIUS_EXPORT_DIRECTORY": str(tmp_path / "exports"),
            "GENIUS_STAND_IN_URL": stand_in.url,
            "GENIUS_LOG_LEVEL": "DEBUG",
        }
        services.worker(pool="threads", concurrency=4, environment=environment, wait=False)
        intake = services.intake(environment)
        token = mint_token(settings, acme, role=Role.OWNER)
        logs = services.started[0].log.parent
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=intake.url, headers=headers, timeout=60) as client:
            yield House(
                client,
                database,
                relay_database,
                Publisher(settings),
                settings,
                database_urls.superuser_url,
                stand_in,
                tmp_path,
                logs,
            )


def meet(house: House, acme: Tenant) -> str:
    """Let the organization come to know Lea in every way that its API offers; returns the lead's id."""
    now = datetime.now(UTC).isoformat()
    post = house.client.post
    lead = {
        "external_id": KNOWN_AS,
        "email": EMAIL,
        "first_name": "Lea",
        "last_name": "Quxwort",
        "phone": PHONE,
        "attributes": {"assistant": f"of {NAME}"},
    }
    other = {"external_id": "other", "email": "bo@mail.example", "attributes": {"referred_by": EMAIL.upper()}}
    answers = [
        post("/api/v1/leads/import", json={"leads": [lead, other]}, headers={"X-Request-ID": "meeting"}),
        post(
            "/api/v1/leads/events",
            json={
                "events": [
                    {"lead": KNOWN_AS, "name": "called", "occurred_at": now, "attributes": {"from": PHONE}}
                ]
            },
        ),
        post(
            "/api/v1/analytics/events",
            json={
                "events": [
                    {"name": "view", "occurred_at": now, "visitor": EMAIL, "key": f"{KNOWN_AS}-1"},
                    {"name": "view", "occurred_at": now, "visitor": "bo", "attributes": {"with": NAME}},
                ]
            },
        ),
        post("/api/v1/campaigns", json={"name": f"For {NAME}", "description": f"call {PHONE}"}),
        post("/api/v1/alert-recipients", json={"email": EMAIL, "name": "Lea"}),
        post(
            "/api/v1/content/media",
            params={"title": f"Portrait of {NAME}"},
            content=PIXEL,
            headers={"Content-Type": "application/octet-stream"},
        ),
        post(
            "/api/v1/content/media",
            params={"title": "Portrait"},
            content=PIXEL + EMAIL.encode(),
            headers={"Content-Type": "application/octet-stream"},
        ),
    ]
    assert all(answer.is_success for answer in answers), [
        answer.text for answer in answers if not answer.is_success
    ]
    with tenant_session(house.database, acme.organization_id) as session:
        lead_id = session.execute(text("SELECT id FROM leads WHERE email_norm = :e"), {"e": EMAIL.lower()})
        return str(lead_id.scalar_one())


def publish(house: House, acme: Tenant, said: str) -> None:
    account = house.stand_in.connect(house.database, acme, "bluesky", "acme.test")
    job = house.client.post(
        "/api/v1/jobs",
        json={"kind": "social.publish_post", "payload": {"account_id": str(account.id), "text": said}},
        headers={"Idempotency-Key": f"post-for-{KNOWN_AS}"},
    ).json()
    house.until(lambda: house.client.get(f"/api/v1/jobs/{job['id']}").json()["state"] == "succeeded")


def score(house: House, lead_id: str) -> None:
    body = {"kind": "leads.score", "payload": {"lead_ids": [lead_id]}}
    job = house.client.post("/api/v1/jobs", json=body).json()
    house.until(lambda: house.client.get(f"/api/v1/jobs/{job['id']}").json()["state"] == "succeeded")


def leave_behind(house: House, acme: Tenant, lead_id: str) -> None:
    """Write what only the passing of time, or something going wrong, would write."""
    said, today = f'{{"to":"{EMAIL}"}}', datetime.now(UTC).date()
    mine = {"organization_id": acme.organization_id}
    with tenant_session(house.database, acme.organization_id) as session:
        job_id = session.scalars(text("SELECT id FROM jobs LIMIT 1")).one()
        past = {"id": job_id, "kind": "leads.score", "lane": "scoring", "state": "dead", "priority": 0}
        limits = {"max_attempts": 5, "attempts_per_life": 5}
        told = {"payload": {"who": EMAIL}, "error": {"message": NAME}}
        session.execute(insert(PastJob).values(mine | past | limits | told))
        dead = {"job_id": job_id, "kind": "x", "attempts": 1, "fingerprint": "f"}
        session.execute(insert(DeadLetter).values(mine | dead | {"error": {"message": f"no {EMAIL}"}}))
        endpoint = mine | {"id": uuid7(), "url": f"https://hook.example/{KNOWN_AS}", "secret_encrypted": b"x"}
        session.execute(insert(WebhookEndpoint).values(endpoint))
        delivery = mine | {
            "id": uuid7(),
            "endpoint_id": endpoint["id"],
            "event": "alert.test",
            "job_id": job_id,
        }
        session.execute(insert(AlertDelivery).values(delivery | {"body": said}))
        attempt = {
            "delivery_id": delivery["id"],
            "attempt": 1,
            "milliseconds": 1,
            "error": f"{EMAIL} refused",
        }
        session.execute(insert(DeliveryAttempt).values(mine | attempt))
        period = {"grain": "week", "first_day": today, "last_day": today, "time_zone": "UTC", "revision": 1}
        shown = {"document": said, "csv": f"who,n\n{NAME},1", "html": f"<p>{NAME}</p>"}
        session.execute(insert(Report).values(mine | period | shown | {"shape_version": 1, "sha256": b"0"}))
    with redis.Redis.from_url(str(house.settings.redis_url)) as client:
        client.hset(f"tenant:{acme.organization_id}:leads", mapping={lead_id: EMAIL})
        client.set(f"elsewhere:{EMAIL.lower()}", "1")


def test_after_an_erasure_nothing_anywhere_tells_of_the_person(
    house: House, acme: Tenant, database: Database
) -> None:
    lead_id = meet(house, acme)
    publish(house, acme, f"Welcome {NAME}!")
    score(house, lead_id)
    leave_behind(house, acme, lead_id)
    exported = house.request_done(
        house.client.post("/api/v1/privacy/exports", json={"person": {"email": EMAIL}})
    )
    archive = house.client.get(f"/api/v1/privacy/exports/{exported['id']}/archive").content
    (house.folder / "exports" / "left.txt").write_text(EMAIL)
    (house.logs / "planted.log").write_text(f"told {EMAIL}\n")

    strings = [EMAIL, NAME, PHONE, KNOWN_AS, lead_id]
    planted = house.traces(*strings)
    assert set(planted) == {"tables", "redis", "files", "logs", "platform"}, (
        "the search finds each kind of place"
    )
    assert {place.partition(".")[0] for place in planted["tables"]} >= {
        *(
            "leads",
            "lead_events",
            "analytics_events",
            "analytics_event_keys",
            "campaigns",
            "email_recipients",
        ),
        *("content_assets", "social_posts", "jobs", "job_history", "dead_letters", "idempotency_keys"),
        *("webhook_endpoints", "alert_deliveries", "delivery_attempts", "reports"),
        *("audit_names", "audit_details"),
    }
    assert len(archive) > 1_000
    (house.folder / "exports" / "left.txt").unlink()
    (house.logs / "planted.log").unlink()
    assert "logs" not in house.traces(*strings), "no log ever told of her"

    body = {"person": {"email": EMAIL.upper(), "also": ["Quxwort"]}}
    proof = house.request_done(house.client.post("/api/v1/privacy/erasures", json=body))

    assert proof["state"] == "succeeded", proof
    assert house.traces(*strings, "quxwort") == {}
    assert proof["outcome"]["posts"] == {"removed": 1, "left": []}
    assert proof["outcome"]["media"] == {"removed": 2}
    assert proof["outcome"]["texts"]["found"] == 0
    assert house.client.get(f"/api/v1/privacy/exports/{exported['id']}/archive").status_code == 404
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalar(text("SELECT count(*) FROM leads")) == 1, "the other one stays"
        assert session.scalar(text("SELECT attributes ->> 'referred_by' FROM leads")) == "[erased]"
        assert session.scalar(text("SELECT app.first_broken_audit()")) is None, "the chain holds"
        pseudonyms = session.scalars(
            select(AuditEntry.subject).where(AuditEntry.action == "leads.insert")
        ).all()
        assert len(set(pseudonyms)) == 2, "the log still tells two people apart, by pseudonyms"
        assert session.scalars(select(AuditName.name)).all().count(lead_id) == 0
