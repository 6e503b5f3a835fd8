"""Schedules over HTTP: create, look ahead, change, pause, run now, backfill, delete, refusals."""

from collections.abc import Callable, Iterator
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
from tasks.recurring import install
from tests.integration.intake.problems import fields, refused
from worker.app import app
from worker.fire import fire_due
from worker.publish import Publisher

Headers = dict[str, str]

URL = "/api/v1/schedules"
NIGHTLY: dict[str, Any] = {
    "name": "Nightly rollup",
    "kind": "analytics.rollup",
    "payload": {},
    "cron": "30 2 * * *",
    "time_zone": "Europe/Berlin",
}


@pytest.fixture(scope="module")
def relay(settings: Settings) -> Iterator[RelayDatabase]:
    app.loader.import_default_modules()  # as beat does
    relay = open_relay_database(settings)
    yield relay
    relay.engine.dispose()


def create(client: httpx.Client, headers: Headers, **changes: Any) -> dict[str, Any]:
    body = {name: value for name, value in (NIGHTLY | changes).items() if value is not ...}
    answer = client.post(URL, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{URL}/{made['id']}"
    return made


def moments(runs: list[dict[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(run["nominal_time"]) for run in runs]


def test_a_schedule_is_made_and_shown_with_its_next_five_runs(client: httpx.Client, as_acme: Headers) -> None:
    made = create(client, as_acme, priority=2)
    assert client.get(f"{URL}/{made['id']}", headers=as_acme).json() == made
    assert client.get(URL, headers=as_acme).json() == {"items": [made], "next_cursor": None}
    assert (made["overlap"], made["catch_up_seconds"], made["jitter_seconds"]) == ("skip", 3600, 0)
    assert (made["priority"], made["paused"]) == (2, False)

    coming = moments(made["next_runs"])
    assert len(coming) == 5
    assert datetime.now(UTC) < coming[0] <= datetime.now(UTC) + timedelta(days=1)
    assert coming == sorted(set(coming))
    more = client.get(f"{URL}/{made['id']}/next", params={"count": 50}, headers=as_acme).json()
    assert moments(more)[:5] == coming
    assert len(more) == 50


def test_jitter_shows_in_the_next_runs(client: httpx.Client, as_acme: Headers) -> None:
    made = create(client, as_acme, jitter_seconds=600)
    for run in made["next_runs"]:
        late = datetime.fromisoformat(run["starts_at"]) - datetime.fromisoformat(run["nominal_time"])
        assert timedelta(0) < late < timedelta(seconds=600)


@pytest.mark.parametrize(
    ("changes", "field", "fix"),
    [
        ({"cron": "61 * * * *"}, "cron", "write five fields"),
        ({"cron": ...}, "cron", "either cron or interval_seconds"),
        ({"interval_seconds": 7200}, "body", "either cron or interval_seconds"),
        ({"cron": None, "interval_seconds": 59}, "interval_seconds", "60"),
        ({"time_zone": "Berlin"}, "time_zone", "such as Europe/Berlin"),
        ({"jitter_seconds": 86_400}, "jitter_seconds", "less than"),
        ({"jitter_seconds": -1}, "jitter_seconds", "0"),
        ({"overlap": "sometimes"}, "overlap", "buffer_one"),
        ({"catch_up_seconds": 5}, "catch_up_seconds", "60"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at", "after starts_at"),
        (
            {"starts_at": "2020-01-01T00:00:00Z", "ends_at": "2020-06-01T00:00:00Z"},
            "ends_at",
            "no run from now on",
        ),
        ({"kind": "system.retention"}, "kind", "choose one of"),
        ({"payload": {"until": "tomorrow"}}, "payload.until", "date and time"),
        ({"payload": {"colour": 1}}, "payload.colour", "remove it"),
        ({"name": ...}, "name", "required"),
        ({"colour": 1}, "colour", "remove it"),
    ],
)
def test_what_cannot_be_names_the_field_and_the_fix(
    client: httpx.Client, as_acme: Headers, changes: dict[str, Any], field: str, fix: str
) -> None:
    body = {name: value for name, value in (NIGHTLY | changes).items() if value is not ...}
    document = refused(client.post(URL, json=body, headers=as_acme), 422)
    assert fields(document) == [(None, field)]
    assert fix in document["errors"][0]["message"]
    assert client.get(URL, headers=as_acme).json()["items"] == []


def test_the_plan_gates_how_often_a_schedule_runs(
    client: httpx.Client, sign: Callable[..., Headers], organization: Callable[..., Tenant]
) -> None:
    starter, enterprise = sign(organization(plan="starter")), sign(organization(plan="enterprise"))
    for often in (
        {"cron": "*/30 * * * *"},
        {"cron": "0,59 9 * * *"},
        {"cron": None, "interval_seconds": 900},
    ):
        document = refused(client.post(URL, json=NIGHTLY | often, headers=starter), 403)
        assert document["type"] == "urn:genius:problem:schedule-too-frequent"
        assert document["shortest_seconds"] == 3600
        create(client, enterprise, **often)
    made = create(client, starter, cron="0 * * * *")
    refused(client.patch(f"{URL}/{made['id']}", json={"cron": "* * * * *"}, headers=starter), 403)


def test_the_plan_gates_how_many_schedules_there_are(
    client: httpx.Client, sign: Callable[..., Headers], organization: Callable[..., Tenant]
) -> None:
    starter = sign(organization(plan="starter"))
    made = [create(client, starter) for _ in range(10)]
    document = refused(client.post(URL, json=NIGHTLY, headers=starter), 403)
    assert document["error"] == "Resource limit exceeded. Upgrade plan to increase schedules limit"

    assert client.delete(f"{URL}/{made[0]['id']}", headers=starter).status_code == 204
    create(client, starter)


def test_the_plan_gates_the_kind(
    client: httpx.Client, sign: Callable[..., Headers], organization: Callable[..., Tenant]
) -> None:
    training = NIGHTLY | {"kind": "leads.train_model"}
    starter = sign(organization(plan="starter"))
    assert refused(client.post(URL, json=training, headers=starter), 403)["feature"] == "predictive_scoring"


def test_a_schedule_needs_the_permission_of_its_kind(
    client: httpx.Client, acme: Tenant, as_acme: Headers, sign: Callable[..., Headers]
) -> None:
    viewer = sign(acme, role="viewer")
    leads_only = sign(acme, role="viewer", permissions=["manage_leads"])
    document = refused(client.post(URL, json=NIGHTLY, headers=viewer), 403)
    assert document["permission"] == "manage_jobs"
    scoring = create(client, leads_only, kind="leads.score", payload={"all": True})
    rollup = create(client, as_acme)
    paths = {"pause": {}, "resume": {}, "run": {}, "backfill": {"since": "2026-01-01T00:00:00Z"}}
    for act, body in paths.items():
        refused(client.post(f"{URL}/{rollup['id']}/{act}", json=body, headers=leads_only), 403)
    refused(client.patch(f"{URL}/{rollup['id']}", json={"name": "x"}, headers=leads_only), 403)
    refused(client.delete(f"{URL}/{rollup['id']}", headers=leads_only), 403)
    assert client.post(f"{URL}/{scoring['id']}/run", headers=leads_only).status_code == 202
    assert client.get(f"{URL}/{rollup['id']}", headers=viewer).status_code == 200


def test_another_organizations_schedule_is_not_there(
    client: httpx.Client, as_acme: Headers, as_globex: Headers
) -> None:
    made = create(client, as_acme)
    one = f"{URL}/{made['id']}"
    answers = [
        *(client.get(url, headers=as_globex) for url in (one, f"{one}/next", f"{one}/runs")),
        *(client.post(f"{one}/{act}", headers=as_globex) for act in ("pause", "resume", "run")),
        client.post(f"{one}/backfill", json={"since": "2026-01-01T00:00:00Z"}, headers=as_globex),
        client.patch(one, json={"name": "mine"}, headers=as_globex),
        client.delete(one, headers=as_globex),
    ]
    for answer in answers:
        refused(answer, 404)
    assert client.get(one, headers=as_acme).json() == made
    assert client.get(URL, headers=as_globex).json()["items"] == []


def test_a_change_moves_the_next_run_only_when_it_is_about_time(
    client: httpx.Client, as_acme: Headers, database: Database, acme: Tenant
) -> None:
    made = create(client, as_acme)
    one = f"{URL}/{made['id']}"
    renamed = client.patch(one, json={"name": "Other", "overlap": "allow_all"}, headers=as_acme).json()
    assert (renamed["name"], renamed["overlap"]) == ("Other", "allow_all")
    assert renamed["next_runs"] == made["next_runs"]

    often = client.patch(one, json={"interval_seconds": 900}, headers=as_acme).json()
    assert (often["cron"], often["interval_seconds"]) == (None, 900)
    first, second = moments(often["next_runs"])[:2]
    assert second - first == timedelta(minutes=15)
    assert first <= datetime.now(UTC) + timedelta(minutes=15)
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalars(select(Schedule.revision)).all() == [3]
    back = client.patch(one, json={"cron": "0 5 * * *", "time_zone": None}, headers=as_acme).json()
    assert (back["interval_seconds"], back["time_zone"]) == (None, acme.time_zone)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payload": {"until": 1}}, "payload.until"),
        ({"payload": []}, "payload"),
        ({"cron": "nonsense"}, "cron"),
        ({"cron": None}, "cron"),
        ({"kind": "leads.score"}, "kind"),
        ({"paused": True}, "paused"),
        ({"name": None}, "name"),
    ],
)
def test_a_change_that_cannot_be_changes_nothing(
    client: httpx.Client, as_acme: Headers, change: dict[str, Any], field: str
) -> None:
    made = create(client, as_acme)
    document = refused(client.patch(f"{URL}/{made['id']}", json=change, headers=as_acme), 422)
    assert fields(document) == [(None, field)]
    assert client.get(f"{URL}/{made['id']}", headers=as_acme).json() == made


def test_a_new_payload_is_what_runs(
    client: httpx.Client, as_acme: Headers, database: Database, acme: Tenant
) -> None:
    made = create(client, as_acme)
    payload = {"until": "2026-01-01T00:00:00Z"}
    changed = client.patch(f"{URL}/{made['id']}", json={"payload": payload}, headers=as_acme)
    assert changed.json()["payload"] == payload
    run = client.post(f"{URL}/{made['id']}/run", headers=as_acme).json()
    assert client.get(f"/api/v1/jobs/{run['job_id']}", headers=as_acme).json()["payload"] == payload


def test_a_paused_schedule_has_no_next_run_until_it_is_resumed(
    client: httpx.Client, as_acme: Headers
) -> None:
    made = create(client, as_acme)
    one = f"{URL}/{made['id']}"
    paused = client.post(f"{one}/pause", headers=as_acme).json()
    assert (paused["paused"], paused["next_runs"]) == (True, [])
    assert client.get(f"{one}/next", headers=as_acme).json() == []

    resumed = client.post(f"{one}/resume", headers=as_acme).json()
    assert resumed["next_runs"] == made["next_runs"]
    assert client.post(f"{one}/resume", headers=as_acme).json()["next_runs"] == made["next_runs"]
    assert create(client, as_acme, paused=True)["next_runs"] == []


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


def test_a_deleted_schedule_is_gone_and_its_jobs_stay(
    client: httpx.Client, as_acme: Headers, relay: RelayDatabase, database: Database, settings: Settings
) -> None:
    made = create(client, as_acme)
    one = f"{URL}/{made['id']}"
    job = client.post(f"{one}/run", headers=as_acme).json()["job_id"]
    assert client.delete(one, headers=as_acme).status_code == 204
    for answer in (client.get(one, headers=as_acme), client.delete(one, headers=as_acme)):
        refused(answer, 404)
    refused(client.post(f"{one}/run", headers=as_acme), 404)
    assert client.get(URL, headers=as_acme).json()["items"] == []
    assert client.get(f"/api/v1/jobs/{job}", headers=as_acme).status_code == 200

    fire_due(relay, database, Publisher(settings), now=datetime.now(UTC) + timedelta(days=2))
    assert len(client.get("/api/v1/jobs", headers=as_acme).json()["items"]) == 1


def test_the_platforms_own_schedules_are_neither_seen_nor_counted(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    install(database, acme)
    with tenant_session(database, acme.organization_id) as session:
        [one, *_] = session.scalars(select(Schedule.id)).all()
    assert client.get(URL, headers=as_acme).json()["items"] == []
    refused(client.get(f"{URL}/{one}", headers=as_acme), 404)
    refused(client.delete(f"{URL}/{one}", headers=as_acme), 404)
    usage = client.get("/api/v1/usage", headers=as_acme).json()
    [counted] = [meter for meter in usage["meters"] if meter["meter"] == "schedules"]
    assert (counted["used"], counted["limit"]) == (0, 100)


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
        session.scalars(select(Schedule)).one().next_nominal -= timedelta(hours=3)
    fire_due(relay, database, Publisher(settings), now=datetime.now(UTC))

    missed = client.get(f"{one}/runs", params={"state": "missed"}, headers=as_acme).json()["items"]
    assert {run["reason"] for run in missed} == {"late"}
    assert len(missed) in {2, 3}
    since = min(run["nominal_time"] for run in missed)
    back = client.post(f"{one}/backfill", json={"since": since}, headers=as_acme).json()
    assert len(back["runs"]) >= len(missed)
    assert client.get(f"{one}/runs", params={"state": "missed"}, headers=as_acme).json()["items"] == []
