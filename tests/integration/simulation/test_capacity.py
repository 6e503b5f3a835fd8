"""The arithmetic of capacity says what a replay through the real queue shows."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ops.capacity.need import BRIEF, Load, Room, need
from ops.capacity.trial import Trial, try_slots
from ops.simulation.scratch import Scratch, own_redis

LOAD = Load(tenants=40, jobs_per_second=40, job_seconds=0.2, cpu_seconds=0.05)


@pytest.fixture(scope="module")
def scratch() -> Iterator[Scratch]:
    with own_redis() as scratch:
        yield scratch


def tried(scratch: Scratch, slots: int) -> Trial:
    return try_slots(scratch, LOAD, slots, seconds=30)


def test_computed_slots_serve_the_load_at_once(scratch: Scratch) -> None:
    wanted = need(LOAD)
    trial = tried(scratch, wanted.slots)
    assert trial.busy_slots == pytest.approx(wanted.busy_slots, rel=0.1), "Little's law"
    assert trial.wait_p50_s < LOAD.job_seconds / 10
    assert trial.wait_p99_s < 5 * LOAD.job_seconds


def test_fewer_slots_than_are_busy_fall_behind(scratch: Scratch) -> None:
    trial = tried(scratch, int(need(LOAD).busy_slots * 0.7))
    assert trial.wait_p50_s > 10 * LOAD.job_seconds


def test_a_large_load_is_tried_in_part(scratch: Scratch) -> None:
    load = replace(LOAD, jobs_per_second=4_000, tenants=100_000)
    trial = try_slots(scratch, load, need(load).slots, seconds=10, most_jobs=1_000)
    assert trial.scale == 0.025
    assert trial.busy_slots == pytest.approx(need(load).busy_slots, rel=0.15)
    assert trial.wait_p99_s < load.job_seconds


def test_the_guide_says_where_one_redis_and_one_postgres_end() -> None:
    assert [need(replace(LOAD, jobs_per_second=rate)).redis_servers for rate in (6_600, 6_700)] == [1, 2]
    assert [need(replace(LOAD, jobs_per_second=rate)).cells for rate in (38_400, 38_500)] == [1, 2]
    brief = replace(LOAD, brief=True)
    assert [need(replace(brief, jobs_per_second=rate)).cells for rate in (512_000, 512_100)] == [1, 2]


def test_what_a_load_needs_grows_with_it() -> None:
    once, twice = need(LOAD), need(replace(LOAD, jobs_per_second=80))
    assert once.busy_slots == 8
    assert once.slots == 12
    assert twice.redis_bytes == 2 * once.redis_bytes
    assert twice.history_bytes == 2 * once.history_bytes
    assert need(LOAD, room=Room(slots=0.5)).slots == 16


def test_a_large_load_is_spread_over_redis_servers_a_pooler_and_cells() -> None:
    load = Load(tenants=100_000, jobs_per_second=20_000, job_seconds=0.05, cpu_seconds=0.002, brief=True)
    wanted = need(load)
    assert wanted.redis_servers == 3
    assert wanted.pooler
    assert wanted.cells == 1
    assert need(replace(load, brief=False, jobs_per_second=40_000)).cells == 2
    assert need(load, costs=replace(BRIEF, postgres=0.01)).postgres_cores == 334
