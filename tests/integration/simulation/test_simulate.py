"""`genius simulate`: the real queue on a clock that jumps."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from config.plans import ENTERPRISE, PROFESSIONAL, Plan
from models.organization import Tenant
from models.session import Database, RelayDatabase
from ops.simulation.history import recorded_workload
from ops.simulation.outcome import Outcome, Simulation, simulate
from ops.simulation.scratch import Scratch
from ops.simulation.workload import Arrival, Workload, WorkloadError, workload
from ops.stack import PostgresUrls
from tasks.catalog import ROLLUP
from tasks.payloads import Rollup
from tests.support.in_process import genius
from worker.publish import Publisher
from worker.submit import Submission, submit

OPEN = replace(ENTERPRISE, weight=1)
"""Terms without a cap that matters."""


@pytest.fixture
def scratch(redis_url: str) -> Iterator[Scratch]:
    with redis.Redis.from_url(redis_url) as client:
        yield Scratch(client, "scratch:")


def flood(name: str, count: int, duration_ms: int, *, at_ms: int = 0, lane: str = "scoring") -> list[Arrival]:
    job = Arrival(at_ms * 1_000, name, "leads.score", lane, duration_ms * 1_000)
    return [job] * count


def work(*floods: list[Arrival], **terms: Plan) -> Workload:
    arrivals = [job for flood in floods for job in flood]
    return workload(arrivals, {job.organization: terms.get(job.organization, OPEN) for job in arrivals})


def before(seen: Simulation, name: str) -> Outcome:
    return seen.organizations[name]["before"]


def after(seen: Simulation, name: str) -> Outcome:
    return seen.organizations[name]["after"]


def test_doubling_a_weight_changes_the_shares(scratch: Scratch) -> None:
    jobs = work(flood("a", 400, 100), flood("b", 800, 100))
    others = {**jobs.terms, "a": replace(OPEN, weight=2)}
    seen = simulate(scratch, jobs, others, slots=6)
    assert before(seen, "a").got_share == pytest.approx(1 / 2, abs=0.01)
    assert after(seen, "a").got_share == pytest.approx(2 / 3, abs=0.01)
    assert after(seen, "a").wait_max_s < 0.8 * before(seen, "a").wait_max_s
    assert seen.lasted_s["after"] == seen.lasted_s["before"] == pytest.approx(20, abs=0.2)


def test_worker_time_got_is_what_perfect_fairness_gives(scratch: Scratch) -> None:
    """Long jobs beside short ones: by time, not by count."""
    jobs = work(
        flood("long", 60, 3_400),
        flood("short", 2_000, 100),
        flood("heavy", 600, 700),
        heavy=replace(OPEN, weight=5),
    )
    seen = simulate(scratch, jobs, None, slots=4)
    for name in ("long", "short", "heavy"):
        assert before(seen, name).got_share == pytest.approx(before(seen, name).entitled_share, abs=0.02)


def test_jobs_longer_than_a_lease_run_once_and_are_felt_while_they_run(scratch: Scratch) -> None:
    jobs = work(flood("hours", 6, 3_600_000), flood("quick", 200, 1_000, at_ms=60_000))
    seen = simulate(scratch, jobs, None, slots=2)
    hours, quick = before(seen, "hours"), before(seen, "quick")
    assert (hours.jobs, hours.worker_time_s) == (6, 6 * 3_600)
    assert quick.jobs == 200
    assert quick.wait_p50_s < 3_700  # both slots are taken for an hour, then it has all of one


def test_a_cap_bounds_what_an_organization_gets(scratch: Scratch) -> None:
    capped = replace(OPEN, cap=2, soft_cap=2)
    jobs = work(flood("a", 100, 1_000))
    seen = simulate(scratch, jobs, {"a": capped}, slots=10)
    assert seen.lasted_s == {"before": 10.0, "after": 50.0}
    assert (after(seen, "a").got_share, after(seen, "a").entitled_share) == (0.2, 0.2)


def test_waits_are_those_of_a_queue_that_one_can_work_out(scratch: Scratch) -> None:
    seen = simulate(scratch, work(flood("a", 4, 1_000), flood("a", 1, 500, at_ms=10_000)), None, slots=1)
    outcome = before(seen, "a")
    assert (outcome.wait_p50_s, outcome.wait_p99_s, outcome.wait_max_s) == (1.0, 3.0, 3.0)
    assert (outcome.worker_time_s, outcome.busy_s, seen.lasted_s) == (4.5, 4.5, {"before": 10.5})


def test_a_paused_organizations_jobs_never_run(scratch: Scratch) -> None:
    jobs = work(flood("a", 5, 100), flood("b", 5, 100), b=replace(OPEN, paused=True))
    seen = simulate(scratch, jobs, None, slots=2)
    assert (before(seen, "b").jobs, before(seen, "b").never_ran) == (0, 5)
    assert (before(seen, "a").jobs, before(seen, "a").never_ran) == (5, 0)


def test_lanes_share_the_slots(scratch: Scratch) -> None:
    jobs = work(flood("a", 200, 100, lane="scoring"), flood("b", 200, 100, lane="social"))
    seen = simulate(scratch, jobs, None, slots=4)
    for name in ("a", "b"):
        assert before(seen, name).got_share == pytest.approx(0.5, abs=0.02)


def test_equal_input_gives_equal_output_and_leaves_nothing(scratch: Scratch) -> None:
    jobs = work(*(flood(f"o{n}", 5 + n % 7, 50 + 13 * n, at_ms=n * 3 % 40) for n in range(60)))
    others = {name: replace(OPEN, weight=1 + n) for n, name in enumerate(jobs.terms)}
    documents = []
    for prefix in ("first:", "second:"):
        seen = simulate(Scratch(scratch.client, prefix), jobs, others, slots=5)
        documents.append(json.dumps(seen.document()))
        assert scratch.client.keys("*") == []
    assert documents[0] == documents[1]


@pytest.fixture
def workload_file(tmp_path: Path) -> Path:
    path = tmp_path / "workload.jsonl"
    line = {"at_ms": 0, "kind": "leads.score", "duration_ms": 100, "plan": "professional"}
    path.write_text("".join(json.dumps(line | {"organization": name}) + "\n" for name in "ab" * 50))
    return path


def test_the_command_replays_a_file_on_a_redis_of_its_own(workload_file: Path) -> None:
    options = ("--set", "a.weight=6", "--slots", "4", "--json")
    done = genius("simulate", str(workload_file), *options, environment={})
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["jobs"], document["slots"]) == (100, 4)
    assert document["organizations"]["a"]["before"]["weight"] == PROFESSIONAL.weight
    assert document["organizations"]["a"]["after"]["got_share"] == pytest.approx(2 / 3, abs=0.03)
    assert genius("simulate", str(workload_file), *options, environment={}).stdout == done.stdout


def test_the_command_replays_on_the_configured_redis_and_leaves_nothing(
    workload_file: Path, environment: dict[str, str], scratch: Scratch
) -> None:
    scratch.client.set("theirs", 1)
    done = genius("simulate", str(workload_file), "--on-redis", environment=environment)
    assert done.exit_code == 0, done.stderr
    assert "100 jobs on 8 slots" in done.stdout
    assert scratch.client.keys("*") == [b"theirs"]

    away = environment | {"GENIUS_REDIS_URL": "redis://127.0.0.1:1/0"}
    refused = genius("simulate", str(workload_file), "--on-redis", environment=away)
    assert (refused.exit_code, "Redis does not answer" in refused.stderr) == (1, True)


@pytest.fixture
def ran(
    database: Database,
    organization: Callable[..., Tenant],
    environment: dict[str, str],
    database_urls: PostgresUrls,
    settings: Any,
) -> tuple[datetime, list[Tenant]]:
    """Two organizations whose jobs ran, and when the first was recorded."""
    since = datetime.now(UTC)
    tenants = [organization(plan="professional", name="A"), organization(plan="starter", name="B")]
    for tenant, count in zip(tenants, (30, 20), strict=True):
        submissions = [Submission(ROLLUP, Rollup()) for _ in range(count)]
        submit(database, tenant, submissions, publisher=Publisher(settings))
    assert database_urls.superuser_url is not None
    with psycopg.connect(database_urls.superuser_url) as connection:
        connection.execute(
            "UPDATE jobs SET state = 'succeeded', attempt = 1, started_at = created_at + interval '1 minute',"
            " finished_at = created_at + interval '62 seconds'"
        )
    return since, tenants


def test_history_is_what_ran_under_the_terms_of_today(
    database: Database, relay_database: RelayDatabase, ran: tuple[datetime, list[Tenant]]
) -> None:
    since, (a, b) = ran
    found = recorded_workload(relay_database, database, since)
    assert len(found.arrivals) == 50
    assert {job.duration_us for job in found.arrivals} == {2_000_000}
    assert {job.lane for job in found.arrivals} == {"analytics"}
    assert all(0 <= job.at_us < 60_000_000 for job in found.arrivals)
    assert {name: terms.name for name, terms in found.terms.items()} == {
        str(a.organization_id): "professional",
        str(b.organization_id): "starter",
    }


def test_a_job_that_waited_when_the_period_begins_arrives_then(
    database: Database, relay_database: RelayDatabase, ran: tuple[datetime, list[Tenant]]
) -> None:
    since, _ = ran
    found = recorded_workload(relay_database, database, since + timedelta(seconds=30))
    assert {job.at_us for job in found.arrivals} == {0}
    with pytest.raises(WorkloadError):
        recorded_workload(relay_database, database, since + timedelta(hours=1))


def test_the_command_replays_the_last_hours(
    ran: tuple[datetime, list[Tenant]], environment: dict[str, str]
) -> None:
    _, (a, _) = ran
    options = ("--hours", "1", "--set", f"{a.organization_id}.cap=1", "--slots", "4", "--json")
    done = genius("simulate", *options, environment=environment)
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["jobs"] == 50
    outcomes = document["organizations"][str(a.organization_id)]
    assert (outcomes["before"]["cap"], outcomes["after"]["cap"]) == (PROFESSIONAL.cap, 1)
    assert outcomes["after"]["wait_max_s"] > outcomes["before"]["wait_max_s"]
