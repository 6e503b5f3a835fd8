"""The platform's own work recurs by schedules like any other."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from config.settings import get_settings
from models.job import Job
from models.organization import Tenant
from models.schedule import Schedule
from models.session import Database, RelayDatabase, tenant_session
from tasks.recurring import DUTIES, install, install_missing
from tests.integration.schedules.steps import NOON, Tick
from tests.support import outcome
from tests.support.in_process import genius
from worker.app import app
from worker.fire import Round
from worker.scheduler import RelayScheduler


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

    for made in (f"{len(DUTIES)} schedules made", "0 schedules made"):
        done = genius("schedules", "install", environment=environment)
        assert (done.exit_code, done.stdout.strip()) == (0, made), done.stderr
    with tenant_session(database, second.organization_id) as session:
        assert len(session.scalars(select(Schedule)).all()) == len(DUTIES)


def test_beat_gives_every_active_organization_what_it_lacks(
    scheduler: RelayScheduler, organization: Callable[..., Tenant], database: Database
) -> None:
    new, half, suspended = organization(), organization(), organization(status="suspended")
    install(database, half, DUTIES[:2])
    scheduler.tick()

    assert [len(platform_schedules(database, each)) for each in (new, half, suspended)] == [
        len(DUTIES),
        len(DUTIES),
        0,
    ]


def test_an_operator_may_do_without(
    relay_database: RelayDatabase,
    organization: Callable[..., Tenant],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant = organization()
    monkeypatch.setenv("GENIUS_PLATFORM_SCHEDULES", "false")
    get_settings.cache_clear()
    assert install_missing(relay_database, database) == 0
    assert platform_schedules(database, tenant) == []


def platform_schedules(database: Database, tenant: Tenant) -> list[str]:
    with tenant_session(database, tenant.organization_id) as session:
        return [name for name in session.scalars(select(Schedule.platform)) if name]
