"""Jobs over HTTP: submit, follow, cancel, retry."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import redis

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, call, call_for_each
from tests.integration.intake.problems import fields, refused
from worker.fairshare.queue import FairQueue

Headers = dict[str, str]
Recorded = Callable[[Tenant], dict[str, int]]

ROLLUP: dict[str, Any] = {"kind": "analytics.rollup", "payload": {}}


def submit(client: httpx.Client, headers: Headers, body: Any = None, **more: str) -> dict[str, Any]:
    answer = client.post("/api/v1/jobs", json=body or ROLLUP, headers=headers | more)
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


def claim(database: Database, tenant: Tenant, job_id: str) -> None:
    rows = call_for_each(
        database,
        [tenant.organization_id],
        "claim_jobs",
        jobs=[UUID(job_id)],
        attempts_made=[0],
        worker="w-1@secret-host",
        lease=timedelta(minutes=1),
    )
    assert len(rows) == 1


def kill(database: Database, tenant: Tenant, job_id: str) -> None:
    """Fail a running job for good."""
    why = {"type": "PermanentJobError", "message": "no"}
    call(
        database,
        tenant.organization_id,
        "fail_job",
        job=UUID(job_id),
        held_attempt=1,
        why=why,
        retry_at=None,
        counts=True,
    )


def test_a_submitted_job_is_accepted_recorded_and_shown(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    lead = str(uuid4())
    body = {"kind": "leads.score", "payload": {"lead_ids": [lead]}, "priority": 3}
    answer = client.post("/api/v1/jobs", json=body, headers=as_acme)
    accepted = answer.json()
    assert answer.status_code == 202
    assert accepted["state"] == "queued"
    assert accepted["replayed"] is False
    assert recorded(acme) == {"jobs": 1, "job_events": 1, "quota_reservations": 2}

    shown = client.get(answer.headers["location"], headers=as_acme).json()
    assert shown["id"] == accepted["id"]
    assert shown["kind"] == "leads.score"
    assert shown["payload"]["lead_ids"] == [lead]
    assert shown["priority"] == 3
    assert shown["attempt"] == 0
    events = client.get(f"/api/v1/jobs/{accepted['id']}/events", headers=as_acme).json()
    assert [event["state"] for event in events] == ["queued"]


def test_a_job_for_later_is_scheduled_and_says_so(client: httpx.Client, as_acme: Headers) -> None:
    due = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    accepted = submit(client, as_acme, ROLLUP | {"run_at": due})
    assert accepted["state"] == "scheduled"
    explained = client.get(f"/api/v1/jobs/{accepted['id']}/explain", headers=as_acme).json()
    assert explained["reason"] == "delayed"
    assert datetime.fromisoformat(explained["until"]) == datetime.fromisoformat(due)


def test_the_same_key_and_body_is_the_same_job(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    key = {"Idempotency-Key": "order-17"}
    first = submit(client, as_acme | key)
    again = submit(client, as_acme | key)
    assert again["id"] == first["id"]
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert recorded(acme)["jobs"] == 1


def test_the_same_key_with_another_body_is_refused(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    key = {"Idempotency-Key": "order-17"}
    submit(client, as_acme | key)
    before = recorded(acme)
    other = ROLLUP | {"priority": 5}
    refused(client.post("/api/v1/jobs", json=other, headers=as_acme | key), 409)
    assert recorded(acme) == before


def test_two_tenants_may_use_the_same_key(client: httpx.Client, as_acme: Headers, as_globex: Headers) -> None:
    key = {"Idempotency-Key": "order-17"}
    assert submit(client, as_acme | key)["id"] != submit(client, as_globex | key)["id"]


@pytest.mark.parametrize("key", ["", "two words", "x" * 201, "ümlaut".encode().decode("latin-1")])
def test_a_key_that_is_no_key_is_refused(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded, key: str
) -> None:
    headers = [*as_acme.items(), ("Idempotency-Key", key.encode("latin-1"))]
    document = refused(client.post("/api/v1/jobs", json=ROLLUP, headers=headers), 422)
    assert fields(document) == [(None, "Idempotency-Key")]
    assert recorded(acme) == {}


def test_a_batch_is_recorded_in_order(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    jobs = [ROLLUP if n % 2 else {"kind": "quota.account", "payload": {}} for n in range(1_000)]
    answer = client.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=as_acme)
    assert answer.status_code == 202
    assert [job["kind"] for job in answer.json()["jobs"]] == [job["kind"] for job in jobs]
    assert recorded(acme)["jobs"] == 1_000


def test_a_batch_sent_twice_under_one_key_is_recorded_once(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    key = {"Idempotency-Key": "import"}
    jobs = {"jobs": [ROLLUP, ROLLUP | {"idempotency_key": "mine"}, ROLLUP]}
    first, again = (client.post("/api/v1/jobs/batch", json=jobs, headers=as_acme | key) for _ in range(2))
    assert [job["id"] for job in again.json()["jobs"]] == [job["id"] for job in first.json()["jobs"]]
    assert all(job["replayed"] for job in again.json()["jobs"])
    assert recorded(acme)["jobs"] == 3
    assert submit(client, as_acme | {"Idempotency-Key": "mine"})["id"] == first.json()["jobs"][1]["id"]


def test_a_batch_with_bad_jobs_names_each_and_records_none(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    jobs = [
        ROLLUP,
        {"kind": "leads.score", "payload": {"lead_ids": ["no-uuid"]}},
        {"kind": "leads.nothing", "payload": {}},
        {"kind": "social.publish_post", "payload": {}},
        ROLLUP | {"priority": "high"},
        ROLLUP | {"extra": 1},
    ]
    answer = client.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=as_acme)
    document = refused(answer, 422)
    assert fields(document) == [
        (1, "payload.lead_ids[0]"),
        (2, "kind"),
        (3, "payload"),
        (4, "priority"),
        (5, "extra"),
    ]
    assert recorded(acme) == {}


def test_a_batch_that_the_plan_does_not_allow_records_none(
    client: httpx.Client,
    sign: Callable[..., Headers],
    organization: Callable[..., Tenant],
    recorded: Recorded,
) -> None:
    small = organization(plan="starter")
    jobs = [ROLLUP, {"kind": "leads.train_model", "payload": {}}]
    document = refused(client.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=sign(small)), 403)
    assert document["feature"] == "predictive_scoring"
    assert "professional" in document["detail"]
    assert recorded(small) == {}


@pytest.mark.parametrize("count", [0, 1_001])
def test_a_batch_of_none_or_too_many_is_refused(client: httpx.Client, as_acme: Headers, count: int) -> None:
    answer = client.post("/api/v1/jobs/batch", json={"jobs": [ROLLUP] * count}, headers=as_acme)
    assert fields(refused(answer, 422)) == [(None, "jobs")]


def test_a_submission_over_the_quota_is_refused_and_leaves_nothing(
    client: httpx.Client,
    sign: Callable[..., Headers],
    organization: Callable[..., Tenant],
    recorded: Recorded,
) -> None:
    small = organization(plan="starter")
    score = {"kind": "leads.score", "payload": {"all": True, "limit": 5_000}}
    for _ in range(4):
        submit(client, sign(small), score)
    before = recorded(small)
    document = refused(client.post("/api/v1/jobs", json=score, headers=sign(small)), 403)
    assert document["error"] == "Resource limit exceeded. Upgrade plan to increase leads_scored_month limit"
    assert document["limit"] == 20_000
    assert recorded(small) == before


@pytest.fixture
def many(client: httpx.Client, as_acme: Headers) -> Iterator[list[str]]:
    """Ids of 25 jobs, newest first; every fifth is an account of quota."""
    jobs = [{"kind": "quota.account", "payload": {}} if n % 5 == 0 else ROLLUP for n in range(25)]
    made = client.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=as_acme).json()["jobs"]
    return sorted((job["id"] for job in made), reverse=True)


def pages(client: httpx.Client, headers: Headers, path: str, **query: Any) -> Iterator[list[Any]]:
    while True:
        page = client.get(path, params=query, headers=headers).json()
        yield page["items"]
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


@pytest.mark.parametrize(("limit", "sizes"), [(10, [10, 10, 5]), (5, [5] * 5), (25, [25]), (200, [25])])
def test_pages_show_every_job_once_newest_first(
    client: httpx.Client, as_acme: Headers, many: list[str], limit: int, sizes: list[int]
) -> None:
    read = [[job["id"] for job in page] for page in pages(client, as_acme, "/api/v1/jobs", limit=limit)]
    assert [len(page) for page in read] == sizes
    assert [one for page in read for one in page] == many


def test_a_job_that_comes_between_two_pages_moves_nothing(
    client: httpx.Client, as_acme: Headers, many: list[str]
) -> None:
    first = client.get("/api/v1/jobs", params={"limit": 10}, headers=as_acme).json()
    submit(client, as_acme)
    second = client.get(
        "/api/v1/jobs", params={"limit": 10, "cursor": first["next_cursor"]}, headers=as_acme
    ).json()
    assert [job["id"] for job in second["items"]] == many[10:20]


def test_jobs_are_listed_by_kind_and_by_state(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database, many: list[str]
) -> None:
    claim(database, acme, many[3])
    claim(database, acme, many[7])
    kill(database, acme, many[7])
    client.post(f"/api/v1/jobs/{many[9]}/cancel", headers=as_acme)

    def ids(**query: str) -> list[str]:
        return [job["id"] for page in pages(client, as_acme, "/api/v1/jobs", **query) for job in page]

    assert ids(state="running") == [many[3]]
    assert ids(state="dead") == [many[7]]
    assert ids(state="cancelled") == [many[9]]
    assert ids(state="succeeded") == []
    assert ids(state="queued") == [job for n, job in enumerate(many) if n not in {3, 7, 9}]
    assert len(ids(kind="quota.account")) == 5


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": "all"},
        {"state": "lost"},
        {"cursor": "x"},
        {"cursor": "AAAA"},
        {"cursor": "☃"},
        {"cursor": "x" * 600},
    ],
)
def test_a_bad_query_names_its_parameter(
    client: httpx.Client, as_acme: Headers, query: dict[str, Any]
) -> None:
    document = refused(client.get("/api/v1/jobs", params=query, headers=as_acme), 422)
    assert fields(document) == [(None, next(iter(query)))]


def test_a_cursor_of_another_tenant_shows_nothing_of_theirs(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, many: list[str]
) -> None:
    cursor = client.get("/api/v1/jobs", params={"limit": 10}, headers=as_acme).json()["next_cursor"]
    page = client.get("/api/v1/jobs", params={"cursor": cursor}, headers=as_globex).json()
    assert page == {"items": [], "next_cursor": None}


def test_a_waiting_job_is_cancelled_at_once(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    job = submit(client, as_acme)
    cancelled = client.post(f"/api/v1/jobs/{job['id']}/cancel", headers=as_acme)
    assert cancelled.json() == {"id": job["id"], "state": "cancelled"}
    explained = client.get(f"/api/v1/jobs/{job['id']}/explain", headers=as_acme).json()
    assert (explained["state"], explained["reason"]) == ("cancelled", "ended")


def test_a_running_job_is_asked_to_stop_and_its_machine_is_not_shown(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    job = submit(client, as_acme)
    claim(database, acme, job["id"])
    explained = client.get(f"/api/v1/jobs/{job['id']}/explain", headers=as_acme).json()
    assert explained["reason"] == "running"
    assert client.post(f"/api/v1/jobs/{job['id']}/cancel", headers=as_acme).json()["state"] == "running"
    assert client.get(f"/api/v1/jobs/{job['id']}", headers=as_acme).json()["cancel_requested"] is True
    assert client.get(f"/api/v1/jobs/{job['id']}/explain", headers=as_acme).json()["reason"] == "stopping"
    events = client.get(f"/api/v1/jobs/{job['id']}/events", headers=as_acme)
    assert [event["state"] for event in events.json()] == ["queued", "running", "running"]
    assert "secret-host" not in events.text


def test_a_dead_job_gets_another_life_and_a_live_one_does_not(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    job = submit(client, as_acme)
    document = refused(client.post(f"/api/v1/jobs/{job['id']}/retry", headers=as_acme), 409)
    assert document["state"] == "queued"
    claim(database, acme, job["id"])
    kill(database, acme, job["id"])
    refused(client.post(f"/api/v1/jobs/{job['id']}/cancel", headers=as_acme), 409)
    retried = client.post(f"/api/v1/jobs/{job['id']}/retry", headers=as_acme)
    assert (retried.status_code, retried.json()["state"]) == (202, "queued")
    assert client.get(f"/api/v1/jobs/{job['id']}", headers=as_acme).json()["attempt"] == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/events"), ("GET", "/explain"), ("POST", "/cancel"), ("POST", "/retry")],
)
def test_another_tenants_job_cannot_be_told_from_an_absent_one(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, method: str, path: str
) -> None:
    theirs = submit(client, as_acme)["id"]
    found = client.request(method, f"/api/v1/jobs/{theirs}{path}", headers=as_globex)
    absent = client.request(method, f"/api/v1/jobs/{uuid4()}{path}", headers=as_globex)
    documents = [refused(answer, 404) for answer in (found, absent)]
    for document in documents:
        document.pop("instance")
        document.pop("request_id")
    assert documents[0] == documents[1]
    assert client.get(f"/api/v1/jobs/{theirs}", headers=as_acme).json()["state"] == "queued"


def test_a_waiting_job_is_told_its_place_and_nothing_of_others(
    client: httpx.Client,
    as_acme: Headers,
    acme: Tenant,
    as_globex: Headers,
    globex: Tenant,
    settings: Settings,
) -> None:
    submit(client, as_globex)
    jobs = [submit(client, as_acme)["id"] for _ in range(3)]

    def explain() -> dict[str, Any]:
        answer = client.get(f"/api/v1/jobs/{jobs[2]}/explain", headers=as_acme)
        assert str(globex.organization_id) not in answer.text
        explained: dict[str, Any] = answer.json()
        return explained

    assert (explain()["reason"], explain()["jobs_before"]) == ("no_workers", 2)
    with redis.Redis.from_url(str(settings.redis_url)) as connection:
        lane = FairQueue(connection, "analytics")
        while lane.reserve(1)[0].tenant != str(acme.organization_id):
            pass
    assert (explain()["reason"], explain()["jobs_before"]) == ("waiting_for_turn", 1)
    assert explain()["in_flight"] == 1
