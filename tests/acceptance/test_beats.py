"""Beats killed all the time: every moment of every schedule fires exactly once.

``GENIUS_TEST_BEATS_SECONDS=60`` kills beats for a minute.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from sqlalchemy import func, select

from models.job import Job
from models.organization import Tenant
from models.schedule import Schedule, ScheduleRun
from models.session import Database, tenant_session
from ops.process import ChildProcess
from tests.chaos.nursery import faulty_process
from tests.support import outcome
from tests.support.service import OWN_SCHEDULES, Services
from tests.support.wait import wait_until
from worker.fire import timing_of

BEATS = 3
SCHEDULES = 1_000
ORGANIZATIONS = 20
BACKLOG = timedelta(minutes=5)
"""Schedules begin so long ago: the first beats have five runs of each to catch up with."""
KILLING_FOR_S = float(os.environ.get("GENIUS_TEST_BEATS_SECONDS", "12"))
CAUGHT_UP = timedelta(seconds=5)
"""Each pass of a busy machine is some seconds late; no schedule has a run of the backlog to come."""
BEAT = ("-A", "worker.app", "beat", "--pidfile=")
FAST = {"GENIUS_RELAY_INTERVAL": "0.2", **OWN_SCHEDULES}


def make_schedules(database: Database, tenant: Tenant, count: int) -> None:
    """Make schedules that run each minute, spread over its seconds."""
    begin = datetime.now(UTC).replace(microsecond=0) - BACKLOG
    with tenant_session(database, tenant.organization_id) as session:
        for number in range(count):
            start = begin + timedelta(seconds=number * 60 // count)
            session.add(
                Schedule(
                    organization_id=tenant.organization_id,
                    name=str(number),
                    kind="quota.account",
                    payload={},
                    interval_seconds=60,
                    time_zone="UTC",
                    starts_at=start,
                    next_nominal=start,
                    overlap="allow_all",
                )
            )


class Beats:
    """Three beats, one of which is killed each second; another takes its place at once.

    Each is forked from a parent that has loaded everything: a new process takes two seconds of a core.
    """

    def __init__(self, services: Services, folder: Path) -> None:
        self.parents = [faulty_process(services, folder, "celery", BEAT, FAST) for _ in range(BEATS)]
        self._looked_up_to = dict.fromkeys(self.parents, 0)
        self._last_kill = 0.0
        self.killed = 0

    def kill_one_in_time(self) -> int:
        """Kill a beat if none was within the last second; return how many were killed.

        A beat that has not fired anything yet stays: killing one that still starts would prove nothing.
        """
        working = [parent for parent in self.parents if self._has_fired(parent)]
        if working and time.monotonic() - self._last_kill >= 1.0:
            parent = random.choice(working)
            self._last_kill = time.monotonic()
            [beat] = psutil.Process(parent.pid).children()
            beat.kill()
            beat.wait(60)
            self._looked_up_to[parent] = len(parent.fresh_log())
            self.killed += 1
        return self.killed

    def _has_fired(self, parent: ChildProcess) -> bool:
        return b"schedules fired" in parent.fresh_log()[self._looked_up_to[parent] :]


def fired(database: Database, tenant: Tenant) -> Counter[tuple[UUID, datetime]]:
    """Count the jobs that each moment got."""
    with tenant_session(database, tenant.organization_id) as session:
        rows = session.execute(
            select(ScheduleRun.schedule_id, ScheduleRun.nominal_time, func.count(Job.id))
            .join(Job, Job.id == ScheduleRun.job_id, isouter=True)
            .group_by(ScheduleRun.schedule_id, ScheduleRun.nominal_time)
        )
        return Counter({(schedule, moment.astimezone(UTC)): jobs for schedule, moment, jobs in rows})


def wanted(database: Database, tenant: Tenant) -> Counter[tuple[UUID, datetime]]:
    """Count one job for each moment before each schedule's next."""
    with tenant_session(database, tenant.organization_id) as session:
        schedules = session.scalars(select(Schedule)).all()
    moments: Counter[tuple[UUID, datetime]] = Counter()
    for schedule in schedules:
        following = schedule.next_nominal
        assert following is not None
        earlier = takewhile(
            lambda moment, following=following: moment < following,
            timing_of(schedule).after(schedule.starts_at - timedelta(seconds=1)),
        )
        moments.update((schedule.id, moment) for moment in earlier)
    return moments


def lag(database: Database, tenants: list[Tenant]) -> timedelta:
    """Return how late the latest schedule is."""
    oldest = []
    for tenant in tenants:
        with tenant_session(database, tenant.organization_id) as session:
            oldest.append(session.scalars(select(func.min(Schedule.next_nominal))).one())
    return datetime.now(UTC) - min(oldest)


def test_each_moment_of_a_thousand_schedules_fires_once_although_a_beat_is_killed_each_second(
    database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tenants = [organization(plan="enterprise", name=f"Org {n}") for n in range(ORGANIZATIONS)]
    for tenant in tenants:
        make_schedules(database, tenant, SCHEDULES // ORGANIZATIONS)
    beats = Beats(services, tmp_path)
    wait_until(beats.kill_one_in_time, timeout=60)
    end = time.monotonic() + KILLING_FOR_S
    wait_until(
        lambda: beats.kill_one_in_time() >= KILLING_FOR_S / 3 and time.monotonic() > end,
        timeout=KILLING_FOR_S + 120,
    )
    wait_until(lambda: lag(database, tenants) < CAUGHT_UP, timeout=120)
    for parent in beats.parents:
        parent.stop()

    total = 0
    for tenant in tenants:
        moments = wanted(database, tenant)
        assert fired(database, tenant) == moments
        assert set(moments.values()) == {1}
        jobs = len(moments)
        assert outcome.states(database, tenant) == Counter(queued=jobs)
        assert outcome.quota(database, tenant) == (0, jobs)
        total += jobs
    assert total >= SCHEDULES * (BACKLOG // timedelta(minutes=1))
    with capsys.disabled():
        print(f"\n{beats.killed} beats killed, {total} moments, each fired once")  # noqa: T201 - the figures asked for
