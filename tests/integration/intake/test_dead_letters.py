"""Dead letters, expiry and waiting for another job, over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, tenant_session
from ops.stack import PostgresUrls, Stack
from tests.integration.intake.problems import fields, refused
from tests.support.in_process import genius

Headers = dict[str, str]

ROLLUP: dict[str, Any] = {"kind": "analytics.rollup", "payload": {}}
LETTERS = "/api/v1/dead-letters"


def submit(client: httpx.Client, headers: Headers, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/jobs", json=ROLLUP | more, headers=headers)
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


@pytest.fixture
def die(database: Database, client: httpx.Client) -> Callable[..., str]:
    """Submit a job and let its only attempts fail; return its id."""

    def submit_and_fail(tenant: Tenant, headers: Headers, *messages: str) -> str:
        job_id: str = submit(client, headers)["id"]
        for attempt, message in enumerate(messages, 1):
            last = attempt == len(messages)
            with tenant_session(database, tenant.organization_id) as session:
                session.execute(
                    text("UPDATE jobs SET state = 'running', attempt = :attempt WHERE id = :id"),
                    {"id": job_id, "attempt": attempt},
                )
                session.execute(
                    text(
                        "INSERT INTO job_events (organization_id, job_id, id, attempt, state, detail) VALUES"
                        " (:tenant, :id, app.uuid7(), :attempt, 'running', '{\"worker\": \"secret-host\"}')"
                    ),
                    {"tenant": tenant.organization_id, "id": job_id, "attempt": attempt},
                )
                session.execute(
                    text(
                        "SELECT app.fail_job(NULL, cast(:id AS uuid), :attempt,"
                        " jsonb_build_object('type', 'E', 'message', cast(:message AS text)),"
                        " cast(:retry_at AS timestamptz), true)"
                    ),
                    {
                        "id": job_id,
                        "attempt": attempt,
                        "message": message,
                        "retry_at": None if last else datetime.now(UTC),
                    },
                )
        return job_id

    return submit_and_fail


def test_a_dead_letter_tells_the_story_of_each_attempt(
    client: httpx.Client, acme: Tenant, as_acme: Headers, die: Callable[..., str]
) -> None:
    job_id = die(acme, as_acme, "post 1 failed", "post 2 failed")
    [listed] = client.get(LETTERS, headers=as_acme).json()["items"]
    told = client.get(f"{LETTERS}/{job_id}", headers=as_acme).json()

    assert (listed["job_id"], listed["attempts"]) == (job_id, 2)
    assert listed["error"] == {"type": "E", "message": "post 2 failed"}
    assert "payload" in told
    assert [(one["attempt"], one["error"]["message"]) for one in told["story"]] == [
        (1, "post 1 failed"),
        (2, "post 2 failed"),
    ]
    assert [one["retry_at"] is None for one in told["story"]] == [False, True]
    assert "secret-host" not in str(told)


def test_dead_letters_are_counted_by_error_and_filtered(
    client: httpx.Client, acme: Tenant, as_acme: Headers, die: Callable[..., str]
) -> None:
    twice = [die(acme, as_acme, f"post {n} failed") for n in (1, 2)]
    once = die(acme, as_acme, "refused")
    groups = client.get(f"{LETTERS}/groups", headers=as_acme).json()

    assert [group["count"] for group in groups] == [2, 1]
    fingerprint = groups[0]["fingerprint"]
    found = client.get(LETTERS, params={"fingerprint": fingerprint}, headers=as_acme).json()["items"]
    assert [letter["job_id"] for letter in found] == twice[::-1]
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    assert client.get(LETTERS, params={"since": later}, headers=as_acme).json()["items"] == []
    assert len(client.get(LETTERS, params={"until": later}, headers=as_acme).json()["items"]) == 3
    body = {"filter": {"until": "2026-01-01T00:00:00Z"}}
    assert client.post(f"{LETTERS}/requeue", json=body, headers=as_acme).json()["matched"] == 0

    page = client.get(LETTERS, params={"limit": 2}, headers=as_acme).json()
    following = {"limit": 2, "cursor": page["next_cursor"]}
    rest = client.get(LETTERS, params=following, headers=as_acme).json()
    ids = [letter["job_id"] for letter in page["items"] + rest["items"]]
    assert ids == [once, *twice[::-1]]


def test_requeue_counts_first_and_then_does_what_it_counted(
    client: httpx.Client, acme: Tenant, as_acme: Headers, die: Callable[..., str]
) -> None:
    jobs = [die(acme, as_acme, f"post {n} failed") for n in (1, 2)]
    other = die(acme, as_acme, "refused")
    fingerprint = client.get(f"{LETTERS}/groups", headers=as_acme).json()[0]["fingerprint"]
    body = {"filter": {"fingerprint": fingerprint}}

    def requeue(**more: Any) -> dict[str, Any]:
        answer = client.post(f"{LETTERS}/requeue", json=body | more, headers=as_acme)
        assert answer.status_code == 200, answer.text
        report: dict[str, Any] = answer.json()
        return report

    counted = {"dry_run": True, "matched": 2, "requeued": 0, "refusal": None}
    assert requeue() == counted
    assert requeue(dry_run=True) == counted
    assert requeue(dry_run=False) == counted | {"dry_run": False, "requeued": 2}
    states = {
        job: client.get(f"/api/v1/jobs/{job}", headers=as_acme).json()["state"] for job in (*jobs, other)
    }
    assert states == {jobs[0]: "queued", jobs[1]: "queued", other: "dead"}
    assert requeue(dry_run=False)["matched"] == 0


def test_dead_letters_of_another_organization_do_not_exist(
    client: httpx.Client, acme: Tenant, as_acme: Headers, as_globex: Headers, die: Callable[..., str]
) -> None:
    job_id = die(acme, as_acme, "failed")

    assert client.get(LETTERS, headers=as_globex).json()["items"] == []
    refused(client.get(f"{LETTERS}/{job_id}", headers=as_globex), 404)
    body = {"filter": {"job_ids": [job_id]}, "dry_run": False}
    report = client.post(f"{LETTERS}/requeue", json=body, headers=as_globex).json()
    assert (report["matched"], report["requeued"]) == (0, 0)
    assert client.get(f"/api/v1/jobs/{job_id}", headers=as_acme).json()["state"] == "dead"


def test_who_may_only_look_may_not_requeue(
    client: httpx.Client, acme: Tenant, sign: Callable[..., Headers]
) -> None:
    viewer = sign(acme, role="viewer")
    assert client.get(LETTERS, headers=viewer).status_code == 200
    refused(client.post(f"{LETTERS}/requeue", json={}, headers=viewer), 403)


def test_a_job_that_waits_says_for_which(client: httpx.Client, as_acme: Headers) -> None:
    first = submit(client, as_acme)
    second = submit(client, as_acme, after=first["id"])
    shown = client.get(f"/api/v1/jobs/{second['id']}", headers=as_acme).json()
    why = client.get(f"/api/v1/jobs/{second['id']}/explain", headers=as_acme).json()

    assert (second["state"], shown["after_id"]) == ("scheduled", first["id"])
    assert (why["reason"], first["id"] in why["explanation"]) == ("waiting_for_job", True)
    client.post(f"/api/v1/jobs/{first['id']}/cancel", headers=as_acme)
    why = client.get(f"/api/v1/jobs/{second['id']}/explain", headers=as_acme).json()
    assert why["explanation"] == "It was cancelled. Because the job it waited for is cancelled."


def test_a_batch_names_the_job_to_wait_for_by_its_place(client: httpx.Client, as_acme: Headers) -> None:
    batch = {"jobs": [ROLLUP, ROLLUP | {"after": 0}, ROLLUP | {"after": 1}]}
    jobs = client.post("/api/v1/jobs/batch", json=batch, headers=as_acme).json()["jobs"]
    shown = [client.get(f"/api/v1/jobs/{job['id']}", headers=as_acme).json()["after_id"] for job in jobs]

    assert [job["state"] for job in jobs] == ["queued", "scheduled", "scheduled"]
    assert shown == [None, jobs[0]["id"], jobs[1]["id"]]


def test_what_cannot_be_waited_for_is_refused(
    client: httpx.Client, acme: Tenant, as_acme: Headers, as_globex: Headers, die: Callable[..., str]
) -> None:
    foreign = submit(client, as_globex)["id"]
    for nobodys in (str(uuid4()), foreign):
        problem = refused(client.post("/api/v1/jobs", json=ROLLUP | {"after": nobodys}, headers=as_acme), 422)
        assert fields(problem) == [(None, "after")]
    dead = die(acme, as_acme, "failed")
    refused(client.post("/api/v1/jobs", json=ROLLUP | {"after": dead}, headers=as_acme), 409)
    for place in (1, 2, -1):
        batch = {"jobs": [ROLLUP, ROLLUP | {"after": place}]}
        refused(client.post("/api/v1/jobs/batch", json=batch, headers=as_acme), 422)


def test_an_expiry_lies_ahead_and_after_the_run_s_moment(client: httpx.Client, as_acme: Headers) -> None:
    now = datetime.now(UTC)
    job = submit(client, as_acme, expires_at=(now + timedelta(hours=1)).isoformat())
    shown = client.get(f"/api/v1/jobs/{job['id']}", headers=as_acme).json()["expires_at"]
    assert datetime.fromisoformat(shown) == now + timedelta(hours=1)

    for wrong in (
        {"expires_at": (now - timedelta(seconds=1)).isoformat()},
        {
            "run_at": (now + timedelta(hours=2)).isoformat(),
            "expires_at": (now + timedelta(hours=1)).isoformat(),
        },
    ):
        refused(client.post("/api/v1/jobs", json=ROLLUP | wrong, headers=as_acme), 422)


def test_an_operator_lists_and_requeues(
    stack: Stack,
    database_urls: PostgresUrls,
    settings: Settings,
    client: httpx.Client,
    acme: Tenant,
    as_acme: Headers,
    die: Callable[..., str],
) -> None:
    jobs = [die(acme, as_acme, f"post {n} failed") for n in (1, 2)]
    org = ("--org", str(acme.organization_id))
    redis_url = {"GENIUS_REDIS_URL": str(settings.redis_url)}
    environment = stack.environment() | database_urls.environment() | redis_url

    def said(*arguments: str) -> str:
        done = genius("deadletters", *arguments, *org, environment=environment)
        assert done.exit_code == 0, done.output
        return done.output

    assert '"count":2' in said("list", "--groups", "--json").replace(" ", "")
    assert all(job in said("list", "--json") for job in jobs)
    assert "Dead letters of Acme" in said("list")
    assert said("requeue", "--dry-run") == "2 dead letters would be requeued\n"
    assert said("requeue", "--kind", "leads.score") == "0 of 0 dead letters requeued\n"
    assert said("requeue") == "2 of 2 dead letters requeued\n"
    assert {client.get(f"/api/v1/jobs/{UUID(job)}", headers=as_acme).json()["state"] for job in jobs} == {
        "queued"
    }
