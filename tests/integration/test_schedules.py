"""Firing schedules on real Postgres and Redis: once each, overlap, catch-up, refusals, many beats at once."""

import itertools
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import redis
from cronsim import CronSim
from sqlalchemy import select, text

from config.settings import Settings
from models.job import Job
from models.organization import Organization, Tenant
from models.schedule import Schedule, ScheduleRun
from models.session import DATABASE_ERRORS, Database, RelayDatabase, call, relay_session, tenant_session
from tasks.recurring import DUTIES, install
from tests.support import outcome
from tests.support.in_process import genius
from tests.support.kinds import LEAVE_CAMPAIGN
from worker import fire
from worker.app import app
from worker.fire import Round, fire_due
from worker.job import KINDS
from worker.publish import Publisher
from worker.schedule import Timing
from worker.scheduler import RelayScheduler

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Make = Callable[..., UUID]
Tick = Callable[[datetime], Round]


@pytest.fixture
def publisher(settings: Settings) -> Publisher:
    return Publisher(settings)


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="enterprise")


@pytest.fixture
def tick(relay_database: RelayDatabase, database: Database, publisher: Publisher) -> Tick:
    """Do what a beat does at a moment."""
    return lambda now: fire_due(relay_database, database, publisher, now=now)


@pytest.fixture
def scheduler(
    settings: Settings,
    database: Database,
    relay_database: RelayDatabase,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> RelayScheduler:
    monkeypatch.setattr("worker.scheduler.get_database", lambda: database)
    monkeypatch.setattr("worker.scheduler.open_relay_database", lambda _: relay_database)
    monkeypatch.setattr("worker.scheduler.get_publisher", lambda: publisher)
    return RelayScheduler(app)


def make(database: Database, tenant: Tenant, **changes: Any) -> UUID:
    """Make a schedule that is due at noon and each minute from then on."""
    values: dict[str, Any] = {
        "name": "Each minute",
        "kind": LEAVE_CAMPAIGN.name,
        "payload": {"name": "a"},
        "cron": "* * * * *",
        "time_zone": "UTC",
        "starts_at": NOON,
        "next_nominal": NOON,
    }
    if "interval_seconds" in changes:
        values["cron"] = None
    schedule = Schedule(organization_id=tenant.organization_id, **(values | changes))
    with tenant_session(database, tenant.organization_id) as session:
        session.add(schedule)
    return schedule.id


def runs(database: Database, tenant: Tenant) -> list[tuple[int, str, str | None]]:
    """Return what became of each moment: minutes after noon, state, reason."""
    with tenant_session(database, tenant.organization_id) as session:
        rows = session.scalars(select(ScheduleRun).order_by(ScheduleRun.nominal_time))
        return [((run.nominal_time - NOON) // MINUTE, run.state, run.reason) for run in rows]


def end_jobs(database: Database, tenant: Tenant) -> None:
    """Let every waiting job of the tenant end."""
    with tenant_session(database, tenant.organization_id) as session:
        waiting = session.scalars(select(Job.id).where(Job.state.in_(fire.UNENDED))).all()
    for job in waiting:
        call(database, tenant.organization_id, "cancel_job", job=job)


def the_schedule(database: Database, tenant: Tenant) -> Schedule:
    with tenant_session(database, tenant.organization_id) as session:
        return session.scalars(select(Schedule)).one()


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


def test_a_quota_that_is_used_up_is_a_missed_run_and_stops_nobody_else(
    database: Database, organization: Callable[..., Tenant], tick: Tick
) -> None:
    poor, rich = organization(plan="starter"), organization(plan="enterprise")
    hourly = {"cron": "0 * * * *", "overlap": "allow_all"}
    for tenant in (poor, rich):
        make(database, tenant, **hourly)
    tick(NOON)
    with tenant_session(database, poor.organization_id) as session:
        session.execute(text("UPDATE quota_periods SET used = 22000 - 1, reserved = 1"))
    assert tick(NOON + timedelta(hours=1)) == Round(fired=1, missed=1)

    assert runs(database, poor) == [(0, "fired", None), (60, "missed", "quota")]
    assert [state for _, state, _ in runs(database, rich)] == ["fired", "fired"]
    assert the_schedule(database, poor).next_nominal == NOON + timedelta(hours=2)


@pytest.mark.parametrize("status", ["inactive", "suspended"])
def test_an_inactive_organization_misses_its_runs(
    database: Database, tenant: Tenant, tick: Tick, status: str
) -> None:
    make(database, tenant)
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).status = status
    assert tick(NOON) == Round(missed=1)
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).status = "active"
    assert tick(NOON + MINUTE) == Round(fired=1)
    assert runs(database, tenant) == [(0, "missed", "organization"), (1, "fired", None)]


def test_a_deleted_organization_misses_its_runs(database: Database, tenant: Tenant, tick: Tick) -> None:
    make(database, tenant)
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).deleted_at = NOON
    assert tick(NOON) == Round(missed=1)
    assert runs(database, tenant) == [(0, "missed", "organization")]


def test_a_plan_that_allows_it_no_more_misses_runs(
    database: Database, organization: Callable[..., Tenant], tick: Tick
) -> None:
    tenant = organization(plan="starter")
    make(database, tenant)
    assert tick(NOON) == Round(missed=1)
    assert runs(database, tenant) == [(0, "missed", "interval")]


def test_a_payload_that_the_kind_refuses_is_a_missed_run(
    database: Database, tenant: Tenant, tick: Tick
) -> None:
    make(database, tenant, payload={"nonsense": 1})
    make(database, tenant)
    assert tick(NOON) == Round(fired=1, missed=1)


def test_a_time_zone_that_is_known_no_more_is_a_missed_run_and_the_last(
    database: Database, tenant: Tenant, tick: Tick
) -> None:
    make(database, tenant, time_zone="Mars/Olympus")
    assert tick(NOON) == Round(missed=1)
    assert runs(database, tenant) == [(0, "missed", "timing")]
    assert the_schedule(database, tenant).next_nominal is None
    assert tick(NOON + MINUTE) == Round()


def test_a_kind_that_this_beat_does_not_know_is_left_to_the_others_for_an_hour(
    database: Database, tenant: Tenant, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(database, tenant, cron="0 12 * * *", catch_up_seconds=7200)
    with monkeypatch.context() as patch:
        patch.delitem(KINDS, LEAVE_CAMPAIGN.name)
        assert tick(NOON + 59 * MINUTE) == Round()
        assert tick(NOON + 61 * MINUTE) == Round(missed=1)
    assert runs(database, tenant) == [(0, "missed", "kind")]


def test_what_was_computed_from_an_older_schedule_does_not_fire(
    database: Database, tenant: Tenant, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(database, tenant)
    compute = fire._firing  # noqa: SLF001 - the moment between reading and firing

    def change_meanwhile(schedule: Schedule, *rest: Any, **more: Any) -> Any:
        with tenant_session(database, tenant.organization_id) as session:
            session.execute(text("UPDATE schedules SET revision = revision + 1, cron = '0 0 1 1 *'"))
        return compute(schedule, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(fire, "_firing", change_meanwhile)
        assert tick(NOON) == Round()
    assert runs(database, tenant) == []
    assert tick(NOON) == Round(fired=1)


def test_a_schedule_that_another_beat_moved_on_is_not_moved_back(
    database: Database, tenant: Tenant, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(database, tenant, overlap="allow_all")
    compute = fire._firing  # noqa: SLF001 - the moment between reading and firing

    def be_overtaken(schedule: Schedule, *rest: Any, **more: Any) -> Any:
        patch.undo()
        assert tick(NOON + 2 * MINUTE) == Round(fired=3)
        return compute(schedule, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(fire, "_firing", be_overtaken)
        assert tick(NOON) == Round()
    assert the_schedule(database, tenant).next_nominal == NOON + 3 * MINUTE


def test_a_schedule_that_another_beat_holds_is_left_alone(
    database: Database, tenant: Tenant, tick: Tick
) -> None:
    held = make(database, tenant)
    make(database, tenant)
    with tenant_session(database, tenant.organization_id) as session:
        session.scalars(select(Schedule).where(Schedule.id == held).with_for_update()).one()
        assert tick(NOON) == Round(fired=1)
    assert tick(NOON) == Round(fired=1)


def test_firing_is_all_or_nothing(database: Database, tenant: Tenant, tick: Tick, settings: Settings) -> None:
    """The key of the run, the job, its hold and the schedule's next moment stand or fall together."""
    make(database, tenant)
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(text("UPDATE schedules SET next_nominal = next_nominal"))
    ours = {"id": the_schedule(database, tenant).id, "revision": 1, "expected": NOON, "following": "never"}
    job = {"kind": "k", "lane": "scoring", "payload": {}, "priority": 0, "max_attempts": 1, "quantity": 1}
    with pytest.raises(Exception, match="invalid input syntax"):
        call(
            database,
            tenant.organization_id,
            "fire_schedules",
            firings=[ours | {"job": job, "moments": [{"at": NOON, "due": None, "late": False}]}],
            quota={"period_start": NOON, "period_end": NOON, "limits": {}},
        )
    assert runs(database, tenant) == []
    assert outcome.states(database, tenant) == {}
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}
    assert tick(NOON) == Round(fired=1)


@pytest.mark.parametrize("defect", [None, KeyError("a defect of ours")], ids=["database", "defect"])
def test_one_organizations_failure_stops_no_other(
    defect: Exception | None,
    database: Database,
    organization: Callable[..., Tenant],
    tick: Tick,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken, sound = organization(plan="enterprise"), organization(plan="enterprise")
    for tenant in (broken, sound):
        make(database, tenant)
    load = fire.load_tenant

    def fail(database: Database, organization_id: UUID) -> Tenant | None:
        if organization_id == broken.organization_id:
            if defect is not None:
                raise defect
            call(database, organization_id, "no_such_function")
        return load(database, organization_id)

    monkeypatch.setattr(fire, "load_tenant", fail)
    assert tick(NOON) == Round(fired=1)
    assert runs(database, sound) == [(0, "fired", None)]
    assert runs(database, broken) == []


def test_eight_beats_at_once_fire_each_moment_once(
    database: Database, organization: Callable[..., Tenant], tick: Tick
) -> None:
    tenants = [organization(plan="enterprise") for _ in range(5)]
    for tenant in tenants:
        for _ in range(30):
            make(database, tenant, overlap="allow_all")
    with ThreadPoolExecutor(8) as beats:
        for minute in range(3):
            list(beats.map(tick, [NOON + minute * MINUTE] * 16))

    for tenant in tenants:
        assert Counter(runs(database, tenant)) == {(minute, "fired", None): 30 for minute in range(3)}
        assert sum(outcome.states(database, tenant).values()) == 90
        assert outcome.quota(database, tenant) == (0, 90)


def test_the_relay_sees_no_payload_and_fires_nothing_itself(
    relay_database: RelayDatabase, database: Database, tenant: Tenant
) -> None:
    make(database, tenant)
    for attack in (
        "SELECT payload FROM schedules",
        "SELECT name FROM schedules",
        "UPDATE schedules SET next_nominal = NULL",
        "INSERT INTO schedule_runs (organization_id) VALUES (gen_random_uuid())",
        "SELECT * FROM app.run_schedule('x', gen_random_uuid(), '{}', 'manual', '{}', '{}', NULL)",
    ):
        with (
            pytest.raises(Exception, match="permission denied"),
            relay_session(relay_database) as session,
        ):
            session.execute(text(attack))


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


def test_the_relay_passes_although_firing_fails(
    settings: Settings, scheduler: RelayScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[object] = []
    monkeypatch.setattr("worker.scheduler.run_pass", lambda *doors: passes.append(doors))

    def fail(*_: object) -> Round:
        raise DATABASE_ERRORS[0]

    monkeypatch.setattr("worker.scheduler.fire_due", fail)
    assert 0 < scheduler.tick() <= settings.relay_interval.total_seconds()
    assert len(passes) == 1
    assert scheduler.tick() > 0
    assert len(passes) == 1, "the interval has not passed"


def test_beat_comes_back_at_once_when_there_is_more(
    scheduler: RelayScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.scheduler.fire_due", lambda *_: Round(fired=1, more=True))
    assert scheduler.tick() == 0


def test_beat_fires_by_the_clock_of_the_database(
    scheduler: RelayScheduler, database: Database, tenant: Tenant
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    come = datetime.now(UTC) - timedelta(seconds=1)
    for moment in (come, soon):
        make(database, tenant, interval_seconds=7200, starts_at=moment, next_nominal=moment)
    scheduler.tick()
    with tenant_session(database, tenant.organization_id) as session:
        assert session.scalars(select(ScheduleRun.nominal_time)).all() == [come]


def test_a_batch_that_is_full_says_there_is_more(
    database: Database, tenant: Tenant, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fire, "BATCH", 2)
    for _ in range(3):
        make(database, tenant)
    assert tick(NOON) == Round(fired=2, more=True)
    assert tick(NOON) == Round(fired=1)


def test_the_platforms_own_work_recurs_without_touching_quota_or_limits(
    database: Database, organization: Callable[..., Tenant], tick: Tick
) -> None:
    app.loader.import_default_modules()  # as beat does
    tenant = organization(plan="starter")
    assert sorted(install(database, tenant)) == ["alerts", "quota", "retention", "rollup", "weekly_report"]
    assert install(database, tenant) == []
    with tenant_session(database, tenant.organization_id) as session:
        for schedule in session.scalars(select(Schedule)):
            schedule.starts_at = schedule.next_nominal = NOON
            schedule.cron = schedule.cron and "0 12 * * *"
            schedule.catch_up_seconds = 60
    assert tick(NOON) == Round(fired=len(DUTIES))

    with tenant_session(database, tenant.organization_id) as session:
        jobs = session.scalars(select(Job)).all()
    assert {job.kind for job in jobs} == {duty.kind.name for duty in DUTIES}
    assert {job.state for job in jobs} == {"queued"}
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}


def test_the_command_gives_every_active_organization_what_it_lacks(
    environment: dict[str, str], organization: Callable[..., Tenant], database: Database
) -> None:
    first, second = organization(), organization()
    organization(status="suspended")
    install(database, first)

    for made in ("3 schedules made", "0 schedules made"):
        done = genius("schedules", "install", environment=environment)
        assert (done.exit_code, done.stdout.strip()) == (0, made), done.stderr
    with tenant_session(database, second.organization_id) as session:
        assert len(session.scalars(select(Schedule)).all()) == 3


ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
)


def a_year_at_half_past_two(database: Database, tenant: Tenant, zone: str) -> tuple[UUID, list[datetime]]:
    """Make a schedule; return it and what cronsim says of its 2018, in which Sao Paulo changed its clocks."""
    begin, end = datetime(2018, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC)
    first = Timing("30 2 * * *", None, zone, begin).next_after(begin)
    schedule = make(
        database,
        tenant,
        cron="30 2 * * *",
        time_zone=zone,
        starts_at=begin,
        next_nominal=first,
        overlap="allow_all",
        catch_up_seconds=172_800,
    )
    moments = (local.astimezone(UTC) for local in CronSim("30 2 * * *", begin.astimezone(ZoneInfo(zone))))
    return schedule, list(takewhile(lambda moment: moment < end, moments))


def test_a_year_under_a_frozen_clock_fires_what_cronsim_lists(
    database: Database, tenant: Tenant, tick: Tick
) -> None:
    listed = dict(a_year_at_half_past_two(database, tenant, zone) for zone in ZONES)
    hours = itertools.cycle((1, 23, 41, 5, 30))
    now, end = datetime(2018, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC)
    while now < end:
        now += timedelta(hours=next(hours))
        tick(min(now, end - timedelta(seconds=1)))

    with tenant_session(database, tenant.organization_id) as session:
        rows = session.execute(select(ScheduleRun.schedule_id, ScheduleRun.nominal_time, ScheduleRun.state))
        fired = [(row.schedule_id, row.nominal_time.astimezone(UTC), row.state) for row in rows]
    assert sorted(fired) == sorted((each, moment, "fired") for each in listed for moment in listed[each])
    assert all(len(moments) == 365 for moments in listed.values())
    assert sum(outcome.states(database, tenant).values()) == 6 * 365
