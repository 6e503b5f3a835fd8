"""Beats that fire at the same time, and beat itself."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import select, text

from config.settings import Settings, get_settings
from models.organization import Tenant, load_tenant
from models.schedule import Schedule, ScheduleRun
from models.session import DATABASE_ERRORS, Database, RelayDatabase, call, relay_session, tenant_session
from tests.integration.schedules.steps import MINUTE, NOON, Tick, make, runs, the_schedule
from tests.support import outcome
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from worker import fire
from worker.fairshare.queue import FairQueue
from worker.fire import Round
from worker.publish import Publisher
from worker.scheduler import QUICK_S, RelayScheduler
from worker.submit import Submission, submit


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


def test_the_relay_passes_although_firing_fails(
    scheduler: RelayScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[object] = []
    monkeypatch.setattr("worker.scheduler.run_pass", lambda *doors: passes.append(doors))

    def fail(*_: object) -> Round:
        raise DATABASE_ERRORS[0]

    monkeypatch.setattr("worker.scheduler.fire_due", fail)
    assert 0 < scheduler.tick() <= get_settings().relay_interval.total_seconds()
    assert len(passes) == 1
    assert scheduler.tick() > 0
    assert len(passes) == 1, "the interval has not passed"


def test_beat_publishes_between_two_passes_what_nobody_else_does(
    scheduler: RelayScheduler, database: Database, tenant: Tenant, settings: Settings, publisher: Publisher
) -> None:
    assert scheduler.tick() <= QUICK_S
    first, second = submit(
        database,
        tenant,
        [
            Submission(LEAVE_CAMPAIGN, Leave(name=name), after=after)
            for name, after in (("a", None), ("b", 0))
        ],
        publisher=publisher,
    )
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(text("UPDATE jobs SET state = 'succeeded' WHERE id = :id"), {"id": first.id})
        done = {"tenant": tenant.organization_id, "jobs": [first.id]}
        session.execute(text("SELECT app.release_dependents(:tenant, :jobs, 'succeeded')"), done)
    assert scheduler.tick() <= QUICK_S

    with redis.Redis.from_url(str(settings.redis_url)) as client:
        waiting = [entry.job for entry in FairQueue(client, LEAVE_CAMPAIGN.lane).reserve(10)]
    assert f"{second.id}:0" in waiting


def test_while_something_is_wrong_beat_waits_for_its_next_pass(
    scheduler: RelayScheduler, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.scheduler.get_publisher", lambda: away(settings))
    scheduler.setup_schedule()
    assert scheduler.tick() > QUICK_S


def away(settings: Settings) -> Publisher:
    """Return a publisher whose Redis is not there."""
    return Publisher(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))


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
    load = load_tenant

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
