"""Runs of schedules over HTTP: now, once by its key, of the past, and what became of each."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from config.settings import Settings
from models.job import Job
from models.organization import Tenant
from models.schedule import Schedule
from models.session import Database, RelayDatabase, open_relay_database, tenant_session
from tests.integration.intake.problems import fields, refused
from tests.integration.intake.schedules import URL, create, moments
from worker.app import app
from worker.fire import fire_due
from worker.publish import Publisher

Headers = dict[str, str]


@pytest.fixture(scope="module")
def relay(settings: Settings) -> Iterator[RelayDatabase]:
    app.loader.import_default_modules()  # as beat does
    relay = open_relay_database(settings)
    yield relay
    relay.engine.dispose()


def test_a_new_payload_is_what_runs(
    client: httpx.Client, as_acme: Headers, database: Database, acme: Tenant
) -> None:
    made = create(client, as_acme)
    payload = {"until": "2026-01-01T00:00:00Z"}
    changed = client.patch(f"{URL}/{made['id']}", json={"payload": payload}, headers=as_acme)
    assert changed.json()["payload"] == payload
    run = client.post(f"{URL}/{made['id']}/run", headers=as_acme).json()
    assert client.get(f"/api/v1/jobs/{run['job_id']}", headers=as_acme).json()["payload"] == payload


def test_run_now_makes_a_job_and_a_run(
    client: httpx.Client, as_acme: Headers, database: Database, acme: Tenant
) -> None:
    made = create(client, as_acme, paused=True, priority=4)
    answer = client.post(f"{URL}/{made['id']}/run", headers=as_acme)
    assert answer.status_code == 202
    job = client.get(f"/api/v1/jobs/{answer.json()['job_id']}", headers=as_acme).json()
    assert (job["kind"], job["state"], job["priority"]) == ("analytics.rollup", "queued", 4)
    [run] = client.get(f"{URL}/{made['id']}/runs", headers=as_acme).json()["items"]
    assert (run["state"], run["trigger"], run["job_id"]) == ("fired", "manual", job["id"])
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalars(select(Job.requested_by)).one() is not None


def test_a_run_now_that_is_repeated_with_its_key_is_one_run(
    client: httpx.Client, as_acme: Headers, as_globex: Headers
) -> None:
    made = create(client, as_acme)
    url = f"{URL}/{made['id']}/run"
    keyed = as_acme | {"Idempotency-Key": "a-double-click"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.post(url, headers=keyed), range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert len({answer.json()["nominal_time"] for answer in answers}) == 1
    assert sorted(answer.json()["replayed"] for answer in answers) == [False, True, True, True]
    assert len(client.get("/api/v1/jobs", headers=as_acme).json()["items"]) == 1

    other = create(client, as_globex)
    theirs = client.post(
        f"{URL}/{other['id']}/run", headers=as_globex | {"Idempotency-Key": "a-double-click"}
    )
    assert theirs.json()["replayed"] is False, "a key is of one organization"


def test_a_key_that_was_used_for_something_else_runs_nothing(client: httpx.Client, as_acme: Headers) -> None:
    one, other = (create(client, as_acme)["id"] for _ in range(2))
    keyed = as_acme | {"Idempotency-Key": "used"}
    job = {"kind": "analytics.rollup", "payload": {}}
    assert client.post(f"{URL}/{one}/run", headers=keyed).status_code == 202
    refused(client.post(f"{URL}/{other}/run", headers=keyed), 409)
    refused(client.post("/api/v1/jobs", json=job, headers=keyed), 409)
    assert client.get(f"{URL}/{other}/runs", headers=as_acme).json()["items"] == []
    assert len(client.get("/api/v1/jobs", headers=as_acme).json()["items"]) == 1


def test_a_key_that_cannot_be_one_is_refused(client: httpx.Client, as_acme: Headers) -> None:
    made = create(client, as_acme)
    keyed = as_acme | {"Idempotency-Key": "two words"}
    document = refused(client.post(f"{URL}/{made['id']}/run", headers=keyed), 422)
    assert "without spaces" in document["errors"][0]["message"]


def test_a_run_now_beyond_the_quota_is_refused(
    client: httpx.Client, sign: Callable[..., Headers], organization: Callable[..., Tenant]
) -> None:
    starter = sign(organization(plan="starter"))
    body = {"kind": "leads.score", "payload": {"all": True, "limit": 5_000}}
    made = create(client, starter, **body)
    for _ in range(4):
        assert client.post(f"{URL}/{made['id']}/run", headers=starter).status_code == 202
    document = refused(client.post(f"{URL}/{made['id']}/run", headers=starter), 403)
    assert document["meter"] == "leads_scored_month"
    runs = client.get(f"{URL}/{made['id']}/runs", headers=starter).json()["items"]
    assert [run["state"] for run in runs] == ["fired"] * 4


def test_a_backfill_runs_what_has_no_job_and_nothing_twice(client: httpx.Client, as_acme: Headers) -> None:
    made = create(client, as_acme, starts_at="2026-01-01T00:00:00Z", cron="0 0 * * *", time_zone="UTC")
    one = f"{URL}/{made['id']}"
    january = {"since": "2026-01-10T00:00:00Z", "until": "2026-01-13T00:00:00Z"}
    answer = client.post(f"{one}/backfill", json=january, headers=as_acme)
    assert answer.status_code == 202, answer.text
    first = answer.json()
    assert moments(first["runs"]) == [datetime(2026, 1, day, tzinfo=UTC) for day in (10, 11, 12)]
    assert first["already_fired"] == 0

    wider = client.post(f"{one}/backfill", json=january | {"until": "2026-01-15T00:00:00Z"}, headers=as_acme)
    assert moments(wider.json()["runs"]) == [datetime(2026, 1, day, tzinfo=UTC) for day in (13, 14)]
    assert wider.json()["already_fired"] == 3
    page = client.get(f"{one}/runs", params={"limit": 3}, headers=as_acme).json()
    rest = client.get(f"{one}/runs", params={"cursor": page["next_cursor"]}, headers=as_acme).json()
    shown = page["items"] + rest["items"]
    assert [moment.day for moment in moments(shown)] == [14, 13, 12, 11, 10]
    assert {run["trigger"] for run in shown} == {"backfill"}
    assert len({run["job_id"] for run in shown}) == 5


@pytest.mark.parametrize(
    ("body", "field", "fix"),
    [
        ({"since": "2026-01-01T00:00:00Z"}, "until", "2026-04-11T00:00:00+00:00 or earlier"),
        ({"since": "2026-01-01T01:00:00Z", "until": "2026-01-01T02:00:00Z"}, "since", "widen the range"),
        ({"since": "yesterday"}, "since", "date and time"),
        ({}, "since", "required"),
    ],
)
def test_a_backfill_that_cannot_be_names_the_field_and_the_fix(
    client: httpx.Client, as_acme: Headers, body: dict[str, Any], field: str, fix: str
) -> None:
    made = create(client, as_acme, starts_at="2026-01-01T00:00:00Z", cron="0 0 * * *", time_zone="UTC")
    document = refused(client.post(f"{URL}/{made['id']}/backfill", json=body, headers=as_acme), 422)
    assert fields(document) == [(None, field)]
    assert fix in document["errors"][0]["message"]


def test_what_a_beat_missed_is_shown_and_can_be_backfilled(
    client: httpx.Client,
    acme: Tenant,
    as_acme: Headers,
    relay: RelayDatabase,
    database: Database,
    settings: Settings,
) -> None:
    made = create(
        client,
        as_acme,
        cron="0 * * * *",
        time_zone="UTC",
        catch_up_seconds=60,
        starts_at="2026-01-01T00:00:00Z",
    )
    one = f"{URL}/{made['id']}"
    with tenant_session(database, acme.organization_id) as session:
        schedule = session.scalars(select(Schedule)).one()
        assert schedule.next_nominal is not None
        schedule.next_nominal -= timedelta(hours=3)
    fire_due(relay, database, Publisher(settings), now=datetime.now(UTC))

    missed = client.get(f"{one}/runs", params={"state": "missed"}, headers=as_acme).json()["items"]
    assert {run["reason"] for run in missed} == {"late"}
    assert len(missed) in {2, 3}
    since = min(run["nominal_time"] for run in missed)
    back = client.post(f"{one}/backfill", json={"since": since}, headers=as_acme).json()
    assert len(back["runs"]) >= len(missed)
    assert client.get(f"{one}/runs", params={"state": "missed"}, headers=as_acme).json()["items"] == []
