"""A due schedule fires once: its job, jitter, overlap, catch-up, and what is kept."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import select, text

from config.settings import Settings
from models.job import Job
from models.organization import Tenant
from models.schedule import Schedule, ScheduleRun
from models.session import Database, RelayDatabase, tenant_session
from tests.integration.schedules.steps import MINUTE, NOON, Tick, end_jobs, make, runs, the_schedule
from tests.support import outcome
from tests.support.kinds import LEAVE_CAMPAIGN
from worker.fire import Round, fire_due
from worker.publish import Publisher


def test_a_due_schedule_gets_one_job_with_all_that_belongs_to_it(
    database: Database, tenant: Tenant, tick: Tick, settings: Settings
) -> None:
    made = make(database, tenant, priority=3)
    assert tick(NOON - timedelta(seconds=1)) == Round()
    assert tick(NOON) == Round(fired=1)
    assert tick(NOON) == Round()

    with tenant_session(database, tenant.organization_id) as session:
        job = session.scalars(select(Job)).one()
        run = session.scalars(select(ScheduleRun)).one()
    assert (job.kind, job.state, job.payload["name"], job.priority) == (LEAVE_CAMPAIGN.name, "queued", "a", 3)
    assert job.request_id == f"schedule/{made}"
    assert (run.job_id, run.nominal_time, run.trigger) == (job.id, NOON, "schedule")
    assert outcome.quota(database, tenant) == (0, 1)
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 1}
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        assert client.dbsize() > 0
    assert the_schedule(database, tenant).next_nominal == NOON + MINUTE


def test_with_redis_away_the_job_waits_in_the_outbox(
    database: Database, relay_database: RelayDatabase, tenant: Tenant, settings: Settings
) -> None:
    make(database, tenant)
    nowhere = Publisher(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    assert fire_due(relay_database, database, nowhere, now=NOON) == Round(fired=1)
    assert outcome.leftovers(database, tenant)["outbox"] == 1


def test_jitter_delays_the_job_and_not_its_moment(database: Database, tenant: Tenant, tick: Tick) -> None:
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    make(database, tenant, interval_seconds=3600, starts_at=at, next_nominal=at, jitter_seconds=1800)
    tick(at)
    with tenant_session(database, tenant.organization_id) as session:
        job = session.scalars(select(Job)).one()
        run = session.scalars(select(ScheduleRun)).one()
    assert run.nominal_time == at
    assert at < job.run_at < at + timedelta(seconds=1800)
    assert the_schedule(database, tenant).next_nominal == at + timedelta(hours=1)


FIRED, SKIPPED, BUFFERED = "fired", "skipped", "buffered"


@pytest.mark.parametrize(
    ("overlap", "while_it_runs", "when_it_ended", "a_minute_later"),
    [
        ("skip", [FIRED, SKIPPED, SKIPPED], [FIRED, SKIPPED, SKIPPED], [*[FIRED, SKIPPED, SKIPPED], FIRED]),
        (
            "buffer_one",
            [FIRED, BUFFERED, SKIPPED],
            [FIRED, FIRED, SKIPPED],
            [FIRED, FIRED, SKIPPED, BUFFERED],
        ),
        ("allow_all", [FIRED] * 3, [FIRED] * 3, [FIRED] * 4),
    ],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["after an outage", "minute by minute"])
def test_overlap(
    database: Database,
    tenant: Tenant,
    tick: Tick,
    overlap: str,
    while_it_runs: list[str],
    when_it_ended: list[str],
    a_minute_later: list[str],
    at_once: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    make(database, tenant, overlap=overlap)
    for minutes in [2] if at_once else [0, 1, 2]:
        tick(NOON + minutes * MINUTE)
    states = [state for _, state, _ in runs(database, tenant)]
    assert states == while_it_runs

    end_jobs(database, tenant)
    tick(NOON + 2.5 * MINUTE)
    assert [state for _, state, _ in runs(database, tenant)] == when_it_ended
    tick(NOON + 2.6 * MINUTE)
    tick(NOON + 3 * MINUTE)
    assert [state for _, state, _ in runs(database, tenant)] == a_minute_later
    jobs = sum(outcome.states(database, tenant).values())
    assert jobs == a_minute_later.count(FIRED)


@pytest.mark.parametrize(
    ("catch_up", "minutes_away", "late", "fired"),
    [(60, 0, 0, 1), (60, 10, 9, 2), (300, 10, 5, 6), (3600, 10, 0, 11), (60, 700, 699, 2)],
)
def test_catch_up(
    database: Database,
    tenant: Tenant,
    tick: Tick,
    catch_up: int,
    minutes_away: int,
    late: int,
    fired: int,
) -> None:
    make(database, tenant, overlap="allow_all", catch_up_seconds=catch_up)
    now = NOON + minutes_away * MINUTE
    while the_schedule(database, tenant).next_nominal <= now:
        tick(now)

    expected = [(n, "missed", "late") for n in range(late)]
    expected += [(n, "fired", None) for n in range(late, late + fired)]
    assert runs(database, tenant) == expected
    assert sum(outcome.states(database, tenant).values()) == fired


def test_a_paused_schedule_does_not_fire_and_an_ended_one_is_never_due_again(
    database: Database, tenant: Tenant, tick: Tick
) -> None:
    make(database, tenant, paused=True)
    ended = make(database, tenant, ends_at=NOON + MINUTE, overlap="allow_all")
    assert tick(NOON + 9 * MINUTE) == Round(fired=2)
    with tenant_session(database, tenant.organization_id) as session:
        assert session.get_one(Schedule, (tenant.organization_id, ended)).next_nominal is None


def test_runs_are_kept_for_ninety_days_after_they_were_recorded(
    database: Database, tenant: Tenant, tick: Tick
) -> None:
    make(database, tenant)
    tick(NOON)
    tick(NOON + MINUTE)
    assert len(runs(database, tenant)) == 2
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(
            text("UPDATE schedule_runs SET open = false, recorded_at = now() - interval '91 days'")
        )
    tick(NOON + 2 * MINUTE)
    assert [minute for minute, *_ in runs(database, tenant)] == [2]
