"""What operators see and do at the shell: jobs, dead letters, schedules, a weight, `genius top`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import select
from uuid_utils.compat import uuid7

from models.audit import AuditEntry
from models.organization import Tenant
from models.session import Database, tenant_session
from ops.lanes import Shares, read_lanes, tenant_lines
from tasks.catalog import ROLLUP
from tasks.payloads import Rollup
from tasks.recurring import install
from tests.support.in_process import genius
from worker.fairshare.queue import Entry, FairQueue, Finish, TenantSettings
from worker.publish import Publisher
from worker.submit import Submission, submit


@pytest.fixture
def publisher(settings: Any) -> Publisher:
    return Publisher(settings)


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., Any]:
    """Run a command and return the JSON objects that it prints."""

    def command(*arguments: str) -> list[Any]:
        done = genius(*arguments, "--json", environment=environment)
        assert done.exit_code == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return command


def submitted(
    database: Database, publisher: Publisher, tenant: Tenant, count: int, *, delay: timedelta | None = None
) -> list[UUID]:
    run_at = None if delay is None else datetime.now(UTC) + delay
    jobs = [Submission(ROLLUP, Rollup(), run_at=run_at) for _ in range(count)]
    return [job.id for job in submit(database, tenant, jobs, publisher=publisher)]


def test_why_a_job_waits_is_told_by_its_id_alone(
    database: Database, organization: Callable[..., Tenant], publisher: Publisher, run: Callable[..., Any]
) -> None:
    tenant = organization(name="Acme")
    jobs = submitted(database, publisher, tenant, 3)
    [told] = run("jobs", "explain", str(jobs[2]))
    assert (told["organization"], told["id"]) == (str(tenant.organization_id), str(jobs[2]))
    assert (told["queue"]["jobs_before"], told["why"]["reason"]) == (2, "no_workers")
    assert "payload" not in told

    [later] = submitted(database, publisher, tenant, 1, delay=timedelta(hours=1))
    [told] = run("jobs", "show", str(later))
    assert told["why"]["reason"] == "delayed"
    assert [event["state"] for event in told["events"]] == ["scheduled"]
    assert {row["id"] for row in run("jobs", "--org", str(tenant.organization_id))} >= set(map(str, jobs))
    assert run("jobs", "list", "--org", str(tenant.organization_id), "--state", "scheduled")[0]["id"] == str(
        later
    )


def test_cancel_and_retry_are_audited_and_a_second_cancel_says_how_the_job_stands(
    database: Database,
    organization: Callable[..., Tenant],
    publisher: Publisher,
    run: Callable[..., Any],
    environment: dict[str, str],
) -> None:
    tenant = organization()
    [job] = submitted(database, publisher, tenant, 1)
    own = ("--org", str(tenant.organization_id))
    assert run("jobs", "cancel", str(job))[0]["state"] == "cancelled"
    assert run("jobs", "retry", str(job), *own)[0]["state"] == "queued"
    refused = genius("jobs", "retry", str(job), *own, environment=environment)
    assert refused.exit_code == 1
    assert "queued" in refused.stderr
    assert f"genius jobs show {job}" in refused.stderr
    with tenant_session(database, tenant.organization_id) as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.position)).all()
    made = [(entry.action, entry.actor) for entry in entries if entry.action.startswith("jobs.")]
    assert [action for action, _ in made] == ["jobs.cancel", "jobs.retry", "jobs.retry"]
    assert all((actor or "").startswith("operator:") for _, actor in made)


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("jobs",), "--org"),
        (("jobs", "show", str(uuid7())), "genius jobs --org"),
        (("jobs", "explain", "nonsense"), "UUID"),
        (("schedules", "show", str(uuid7()), "--org", str(uuid7())), "genius schedules list"),
        (("tenant", "weight", "--org", str(uuid7()), "0"), "equal to 1"),
        (("tenant", "weight", "--org", str(uuid7()), "5"), "genius org create"),
    ],
)
def test_what_cannot_be_done_names_the_fix(
    arguments: tuple[str, ...], fix: str, environment: dict[str, str]
) -> None:
    done = genius(*arguments, environment=environment)
    assert done.exit_code in {1, 2}
    assert fix in done.stderr
    assert "Traceback" not in done.stderr


def test_a_weight_is_set_and_taken_back(organization: Callable[..., Tenant], run: Callable[..., Any]) -> None:
    own = ("--org", str(organization(plan="starter").organization_id))
    assert run("tenant", "weight", *own, "5")[0]["overrides"] == {"weight": 5}
    assert run("tenant", "weight", *own)[0]["overrides"] == {}


def test_schedules_are_listed_paused_and_resumed(
    database: Database, organization: Callable[..., Tenant], run: Callable[..., Any]
) -> None:
    tenant = organization()
    install(database, tenant)
    own = ("--org", str(tenant.organization_id))
    listed = {row["platform"]: row for row in run("schedules", "list", *own)}
    rollup = listed["rollup"]
    assert (rollup["kind"], rollup["paused"]) == ("analytics.rollup", False)
    assert run("schedules", "pause", rollup["id"], *own)[0]["next_run"] is None
    assert run("schedules", "show", rollup["id"], *own)[0]["next_runs"] == []
    before = datetime.now(UTC)
    resumed = run("schedules", "resume", rollup["id"], *own)[0]
    assert datetime.fromisoformat(resumed["next_run"]) > before


def test_top_tells_lanes_tenants_dead_letters_and_the_relay(
    database: Database, organization: Callable[..., Tenant], publisher: Publisher, run: Callable[..., Any]
) -> None:
    quiet, loud = organization(name="Quiet"), organization(name="Loud")
    submitted(database, publisher, loud, 7)
    submitted(database, publisher, quiet, 1)
    [told] = run("top", "--limit", "5")
    lanes = {lane["lane"]: lane for lane in told["lanes"]}
    assert (lanes["analytics"]["waiting"], lanes["analytics"]["tenants_with_work"]) == (8, 2)
    assert [(tenant["name"], tenant["waiting"]) for tenant in told["tenants"]] == [("Loud", 7), ("Quiet", 1)]
    assert (told["workers"], told["dead_letters"], told["relay"]["beats"]) == ([], 0, 0)


def test_dead_letters_of_all_are_none_without_any_and_a_role_is_asked_for(
    database: Database, environment: dict[str, str], run: Callable[..., Any]
) -> None:
    assert run("deadletters", "list") == []
    without = {
        name: value
        for name, value in environment.items()
        if name not in {"GENIUS_RELAY_DATABASE_URL", "GENIUS_OWNER_DATABASE_URL"}
    }
    assert "GENIUS_RELAY_DATABASE_URL" in told_without(without)


def told_without(environment: Mapping[str, str]) -> str:
    done = genius("deadletters", "list", environment=environment)
    assert done.exit_code == 1
    return done.stderr


def test_shares_are_by_weight_among_those_with_work(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        moment = [1_000_000_000_000_000]
        queue = FairQueue(client, "analytics", clock=lambda: moment[0])
        for tenant, weight in (("a", 1.0), ("b", 3.0), ("idle", 5.0)):
            queue.configure(tenant, TenantSettings(weight=weight))
        queue.enqueue(
            [Entry(job=f"{tenant}{n}", message="", tenant=tenant) for tenant in "ab" for n in range(50)]
        )
        before = read_lanes(client, ["analytics"])
        for _ in range(40):
            [job] = queue.reserve(1)
            moment[0] += 1_000_000
            queue.finish([Finish(job.token)])
        after = read_lanes(client, ["analytics"])
        shares = replace(Shares.between(before, after), over=timedelta(seconds=40))
        lines = {line.tenant: line for line in tenant_lines(after, Shares.sum([shares]))}
    assert (lines["a"].entitled, lines["b"].entitled, lines["idle"].entitled) == (0.25, 0.75, 0.0)
    assert lines["a"].received == pytest.approx(0.25, abs=0.03)
    assert lines["b"].received == pytest.approx(0.75, abs=0.03)
    assert lines["a"].pace + lines["b"].pace == pytest.approx(1.0)
