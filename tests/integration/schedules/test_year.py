"""A year under a frozen clock, against cronsim's own list."""

import itertools
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from uuid import UUID
from zoneinfo import ZoneInfo

from cronsim import CronSim
from sqlalchemy import select

from models.organization import Tenant
from models.schedule import ScheduleRun
from models.session import Database, tenant_session
from tests.integration.schedules.steps import Tick, make
from tests.support import outcome
from worker.schedule import Timing

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
