"""Schedules over HTTP: create, look ahead, change, pause, delete, refusals."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from config.settings import Settings
from models.organization import Tenant
from models.schedule import RunReason, RunState, RunTrigger, Schedule, ScheduleRun
from models.session import Database, RelayDatabase, open_relay_database, tenant_session
from tasks.recurring import install
from tests.integration.intake.problems import fields, refused
from tests.integration.intake.schedules import NIGHTLY, URL, create, moments
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


def test_a_schedule_is_made_and_shown_with_its_next_five_runs(client: httpx.Client, as_acme: Headers) -> None:
    made = create(client, as_acme, priority=2)
    assert client.get(f"{URL}/{made['id']}", headers=as_acme).json() == made
    assert client.get(URL, headers=as_acme).json() == {"items": [made], "next_cursor": None}
    assert (made["overlap"], made["catch_up_seconds"], made["jitter_seconds"]) == ("skip", 3600, 0)
    assert (made["priority"], made["paused"]) == (2, False)

    coming = moments(made["next_runs"])
    assert len(coming) == 5
    a_day = timedelta(hours=25)  # the longest: on one day of autumn the clocks are set back
    assert datetime.now(UTC) < coming[0] <= datetime.now(UTC) + a_day
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
    for change in ({"name": "x"}, {}):
        refused(client.patch(f"{URL}/{rollup['id']}", json=change, headers=leads_only), 403)
    refused(client.post(f"{URL}/{rollup['id']}/restore", headers=leads_only), 403)
    refused(client.delete(f"{URL}/{rollup['id']}", headers=leads_only), 403)
    assert client.post(f"{URL}/{scoring['id']}/run", headers=leads_only).status_code == 202
    assert client.get(f"{URL}/{rollup['id']}", headers=viewer).status_code == 200
    assert client.delete(f"{URL}/{rollup['id']}", headers=as_acme).status_code == 204
    refused(client.post(f"{URL}/{rollup['id']}/restore", headers=leads_only), 403)


def test_another_organizations_schedule_is_not_there(
    client: httpx.Client, as_acme: Headers, as_globex: Headers
) -> None:
    made = create(client, as_acme)
    one = f"{URL}/{made['id']}"
    answers = [
        *(client.get(url, headers=as_globex) for url in (one, f"{one}/next", f"{one}/runs")),
        *(client.post(f"{one}/{act}", headers=as_globex) for act in ("pause", "resume", "run", "restore")),
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
    with tenant_session(database, acme.organization_id) as session:
        due = session.scalars(select(Schedule)).one()
        assert due.next_nominal is not None
        due.next_nominal -= timedelta(days=2)
    again = client.patch(one, json={"name": "Due"}, headers=as_acme).json()
    assert moments(again["next_runs"])[0] < datetime.now(UTC), "a beat is about to fire it"

    often = client.patch(one, json={"interval_seconds": 900}, headers=as_acme).json()
    assert (often["cron"], often["interval_seconds"]) == (None, 900)
    first, second = moments(often["next_runs"])[:2]
    assert second - first == timedelta(minutes=15)
    assert first <= datetime.now(UTC) + timedelta(minutes=15)
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalars(select(Schedule.revision)).all() == [4]
    back = client.patch(one, json={"cron": "0 5 * * *", "time_zone": None}, headers=as_acme).json()
    assert (back["interval_seconds"], back["time_zone"]) == (None, acme.time_zone)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payload": {"until": 1}}, "payload.until"),
        ({"payload": {"until": 2**70}}, "payload.until"),
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


def test_a_restored_schedule_goes_on_from_now_and_catches_up_nothing(
    client: httpx.Client,
    acme: Tenant,
    as_acme: Headers,
    relay: RelayDatabase,
    database: Database,
    settings: Settings,
) -> None:
    made = create(client, as_acme, overlap="buffer_one", starts_at="2026-01-01T00:00:00Z")
    one = f"{URL}/{made['id']}"
    buffered = datetime.now(UTC) - timedelta(days=4)
    with tenant_session(database, acme.organization_id) as session:
        schedule = session.scalars(select(Schedule)).one()
        assert schedule.next_nominal is not None
        schedule.next_nominal -= timedelta(days=3)
        schedule.buffered_nominal = buffered
        session.add(
            ScheduleRun(
                organization_id=acme.organization_id,
                schedule_id=schedule.id,
                nominal_time=buffered,
                state=RunState.BUFFERED,
                trigger=RunTrigger.SCHEDULE,
                reason=RunReason.OVERLAP,
            )
        )
    assert client.delete(one, headers=as_acme).status_code == 204
    [gone] = client.get(URL, params={"deleted": True}, headers=as_acme).json()["items"]
    assert (gone["id"], gone["next_runs"], gone["buffered_nominal"]) == (made["id"], [], None)

    answer = client.post(f"{one}/restore", headers=as_acme)
    assert answer.status_code == 200, answer.text
    assert answer.json()["next_runs"] == made["next_runs"]
    assert client.post(f"{one}/restore", headers=as_acme).json() == answer.json(), "it is there already"
    fire_due(relay, database, Publisher(settings), now=datetime.now(UTC))
    [run] = client.get(f"{one}/runs", headers=as_acme).json()["items"]
    assert (run["state"], run["job_id"]) == ("skipped", None)
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalars(select(Schedule.revision)).all() == [2], "what a beat holds of it is old"


def test_a_schedule_that_has_ended_is_restored_to_rest(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    made = create(client, as_acme, starts_at="2026-01-01T00:00:00Z")
    with tenant_session(database, acme.organization_id) as session:
        session.scalars(select(Schedule)).one().ends_at = datetime(2026, 6, 1, tzinfo=UTC)
    client.delete(f"{URL}/{made['id']}", headers=as_acme)
    restored = client.post(f"{URL}/{made['id']}/restore", headers=as_acme).json()
    assert (restored["next_runs"], restored["deleted_at"]) == ([], None)
    going = client.patch(f"{URL}/{made['id']}", json={"ends_at": None}, headers=as_acme).json()
    assert len(going["next_runs"]) == 5


def test_the_plan_gates_what_is_restored(
    client: httpx.Client,
    sign: Callable[..., Headers],
    organization: Callable[..., Tenant],
    database: Database,
) -> None:
    tenant = organization(plan="starter")
    starter = sign(tenant)
    gone, often = (create(client, starter)["id"] for _ in range(2))
    with tenant_session(database, tenant.organization_id) as session:  # as if the plan had been a larger one
        session.get_one(Schedule, (tenant.organization_id, UUID(often))).cron = "* * * * *"
    for each in (gone, often):
        assert client.delete(f"{URL}/{each}", headers=starter).status_code == 204
    document = refused(client.post(f"{URL}/{often}/restore", headers=starter), 403)
    assert document["type"] == "urn:genius:problem:schedule-too-frequent"
    for _ in range(10):
        create(client, starter)
    assert refused(client.post(f"{URL}/{gone}/restore", headers=starter), 403)["meter"] == "schedules"


def test_of_two_changes_of_what_both_have_read_one_is_refused(client: httpx.Client, as_acme: Headers) -> None:
    one = f"{URL}/{create(client, as_acme)['id']}"
    read = client.get(one, headers=as_acme)
    mine = as_acme | {"If-Match": read.headers["etag"]}
    assert client.patch(one, json={"name": "First"}, headers=mine).status_code == 200
    refused(client.patch(one, json={"name": "Second"}, headers=mine), 412)
    refused(client.delete(one, headers=mine), 412)
    paused = client.post(f"{one}/pause", headers=as_acme)
    unchanged = client.get(one, headers=as_acme | {"If-None-Match": paused.headers["etag"]})
    assert unchanged.status_code == 304


def test_schedules_are_listed_page_by_page_by_what_they_are(client: httpx.Client, as_acme: Headers) -> None:
    rollups = [create(client, as_acme)["id"] for _ in range(3)]
    scoring = create(client, as_acme, kind="leads.score", payload={"all": True}, paused=True)["id"]

    def listed(**query: Any) -> list[str]:
        answer = client.get(URL, params=query, headers=as_acme)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        rest = listed(**query | {"cursor": page["next_cursor"]}) if page["next_cursor"] else []
        return [item["id"] for item in page["items"]] + rest

    assert listed(limit=3) == [scoring, *reversed(rollups)]
    assert listed(kind="analytics.rollup", sort="created_at", limit=2) == rollups
    assert listed(paused=True) == [scoring]
    assert listed(deleted=True) == []


def test_the_platforms_own_schedules_are_neither_seen_nor_counted(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    install(database, acme)
    with tenant_session(database, acme.organization_id) as session:
        [one, *_] = session.scalars(select(Schedule.id)).all()
    assert client.get(URL, headers=as_acme).json()["items"] == []
    refused(client.get(f"{URL}/{one}", headers=as_acme), 404)
    for act in ("pause", "resume", "run", "restore"):
        refused(client.post(f"{URL}/{one}/{act}", headers=as_acme), 404)
    for path in (f"{one}/next", f"{one}/runs"):
        refused(client.get(f"{URL}/{path}", headers=as_acme), 404)
    refused(client.patch(f"{URL}/{one}", json={"name": "mine"}, headers=as_acme), 404)
    refused(client.delete(f"{URL}/{one}", headers=as_acme), 404)
    usage = client.get("/api/v1/usage", headers=as_acme).json()
    [counted] = [meter for meter in usage["meters"] if meter["meter"] == "schedules"]
    assert (counted["used"], counted["limit"]) == (0, 100)
