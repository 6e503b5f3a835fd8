"""Single verbs of the queue on a real Redis."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

from worker.fairshare.keys import LaneKeys
from worker.fairshare.queue import (
    CHUNK,
    Cancelled,
    Entry,
    FairQueue,
    Finish,
    Finished,
    Outcome,
    Placed,
    Policy,
    TenantSettings,
    reserve,
)
from worker.fairshare.units import moment_from_us


def entries(tenant: str, count: int, **given: Any) -> list[Entry]:
    return [Entry(f"{tenant}-{n}", "m", tenant, "k", **given) for n in range(count)]


def order(queue: FairQueue, count: int) -> list[str]:
    return [job.tenant for job in queue.reserve(count)]


def test_tenants_take_turns_however_much_one_has_queued(queue: FairQueue) -> None:
    queue.enqueue(entries("loud", 100))
    queue.enqueue(entries("quiet", 3))
    assert sorted(order(queue, 6)) == ["loud"] * 3 + ["quiet"] * 3


@pytest.mark.parametrize("tenant", ["*", "a:b|c", "{x}", "ünï code\n", "t" * 65_536])
def test_a_tenant_id_is_opaque(queue: FairQueue, tenant: str) -> None:
    queue.enqueue([*entries(tenant, 2), *entries("other", 2)])
    jobs = queue.reserve(4)
    assert sorted(job.tenant for job in jobs) == sorted([tenant, tenant, "other", "other"])
    queue.finish([Finish(job.token) for job in jobs])
    assert {stats.tenant for stats in queue.stats()} == {tenant, "other"}
    assert queue.audit() == 0


def test_a_second_finish_is_stale(queue: FairQueue) -> None:
    queue.enqueue(entries("a", 1))
    (job,) = queue.reserve(1)
    assert queue.finish([Finish(job.token), Finish(job.token, Outcome.RETRY)]) == [
        Finished.DONE,
        Finished.STALE,
    ]
    assert queue.reserve(1) == []


def test_a_full_backlog_refuses_what_is_new_and_takes_what_must_be(queue: FairQueue) -> None:
    settings = TenantSettings(max_backlog=2).to_json()
    assert queue.enqueue(entries("a", 3, settings=settings)) == [Placed.QUEUED, Placed.QUEUED, Placed.REFUSED]
    assert queue.enqueue([Entry("retry", "m", "a", must=True)]) == [Placed.QUEUED]


def test_a_rate_limit_spaces_jobs_and_allows_a_burst(queue: FairQueue, clock: Any) -> None:
    queue.configure("a", TenantSettings(gap=timedelta(seconds=1), tau=timedelta(seconds=2)))
    queue.enqueue(entries("a", 10))
    assert len(queue.reserve(10)) == 3
    clock.pass_by(seconds=1)
    assert len(queue.reserve(10)) == 1


def test_a_paused_kind_waits_while_others_run(queue: FairQueue) -> None:
    queue.enqueue([Entry("slow", "m", "a", "train"), Entry("fast", "m", "a", "score")])
    queue.configure("a", TenantSettings(paused_kinds=frozenset({"train"})))
    assert [job.job for job in queue.reserve(5)] == ["fast"]
    explanation = queue.explain("slow")
    assert explanation is not None
    assert explanation.reason == "kind_paused"
    queue.configure("a", TenantSettings(paused_kinds=frozenset()))
    assert [job.job for job in queue.reserve(5)] == ["slow"]


def test_explain_says_why_a_job_waits(queue: FairQueue, clock: Any) -> None:
    queue.enqueue(entries("a", 3, settings=TenantSettings(cap=1, soft_cap=1).to_json()))
    queue.enqueue([Entry("later", "m", "b", due=moment_from_us(clock.now + 5_000_000))])
    queue.reserve(1)
    reasons = {job: queue.explain(job) for job in ("a-0", "a-1", "later", "never")}
    assert {job: found.reason if found else None for job, found in reasons.items()} == {
        "a-0": "running",
        "a-1": "capped",
        "later": "delayed",
        "never": None,
    }
    assert queue.cancel(["a-0", "a-1", "never"]) == [
        Cancelled.RUNNING,
        Cancelled.CANCELLED,
        Cancelled.UNKNOWN,
    ]


def test_a_job_that_is_lost_too_often_goes_to_the_dead_letters(client: redis.Redis, clock: Any) -> None:
    queue = FairQueue(client, "lane", policy=Policy(max_tries=2), clock=clock)
    queue.enqueue(entries("a", 1))
    results = [queue.finish([Finish(queue.reserve(1)[0].token, Outcome.LOST)])[0] for _ in range(2)]
    assert results == [Finished.DONE, Finished.DEAD]
    assert client.hlen(queue.keys.of("dead")) == 1


def test_lanes_are_asked_in_turn(client: redis.Redis, clock: Any) -> None:
    lanes = [FairQueue(client, name, clock=clock) for name in ("one", "two")]
    lanes[0].enqueue(entries("a", 50))
    lanes[1].enqueue(entries("a", 2))
    jobs, _ = reserve(lanes, 4)
    assert [job.lane for job in jobs] == ["one", "two", "one", "two"]


def test_an_empty_reserve_says_when_to_look_again(queue: FairQueue, clock: Any) -> None:
    assert reserve([queue], 1) == ([], None)
    queue.enqueue([Entry("later", "m", "a", due=moment_from_us(clock.now + 5_000_000))])
    assert reserve([queue], 1) == ([], timedelta(seconds=5))


def test_purge_drops_what_waits_and_leaves_what_runs(queue: FairQueue) -> None:
    queue.enqueue([*entries("a", 700), *entries("b", 700)])
    (running,) = queue.reserve(1)
    assert queue.purge() == 1399
    assert queue.finish([Finish(running.token)]) == [Finished.DONE]
    assert queue.audit() == 0


def test_a_destroyed_lane_leaves_no_key(client: redis.Redis, queue: FairQueue) -> None:
    queue.enqueue([*entries("a", 3, head_start=timedelta(seconds=1)), *entries("b", 3)])
    queue.reserve(2)
    queue.destroy()
    assert client.keys("*") == []


def test_a_lease_that_outlived_its_lane_leaves_nothing(client: redis.Redis, queue: FairQueue) -> None:
    queue.enqueue(entries("a", 1))
    (job,) = queue.reserve(1)
    queue.destroy()
    assert queue.finish([Finish(job.token)]) == [Finished.STALE]
    assert client.keys("*") == []


def test_the_scripts_are_told_again_to_a_server_that_forgot_them(
    client: redis.Redis, queue: FairQueue
) -> None:
    queue.enqueue(entries("a", 1))
    client.script_flush()
    assert len(queue.reserve(1)) == 1
    client.script_flush()
    assert queue.enqueue(entries("b", 3 * CHUNK)) == [Placed.QUEUED] * 3 * CHUNK


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_batch_of_any_length_is_answered_job_by_job(queue: FairQueue, count: int) -> None:
    queue.enqueue(entries("a", count)[::2])
    expected = [Placed.DUPLICATE if n % 2 == 0 else Placed.QUEUED for n in range(count)]
    assert queue.enqueue(iter(entries("a", count))) == expected
    assert len(queue.reserve(count + 1)) == count


def test_a_batch_that_breaks_off_leaves_no_answer_to_whoever_comes_next(
    client: redis.Redis, queue: FairQueue
) -> None:
    def broken() -> Iterator[Entry]:
        yield from entries("a", 2 * CHUNK)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        queue.enqueue(broken())
    assert client.ping() is True
    assert queue.enqueue(entries("b", 1)) == [Placed.QUEUED]


def test_audit_finds_and_repairs_what_somebody_else_broke(client: redis.Redis, queue: FairQueue) -> None:
    queue.enqueue([*entries("a", 2), *entries("b", 2)])
    client.zrem(queue.keys.of("ready"), "a")
    assert queue.audit() == 1
    assert queue.audit(repair=True) == 1
    assert queue.audit() == 0
    assert len(queue.reserve(4)) == 4


def test_a_million_jobs_coming_due_are_one_step(queue: FairQueue, clock: Any, client: redis.Redis) -> None:
    due = moment_from_us(clock.now + 1_000_000)
    queue.enqueue([Entry(f"x{n}", "m", "loud", due=due) for n in range(20_000)])
    clock.pass_by(seconds=2)
    queue.enqueue(entries("quiet", 1))
    assert commands_of(client, lambda: queue.reserve(1)) < 60


@pytest.mark.parametrize("blocked", [0.0, 0.9])
def test_the_commands_of_a_verb_do_not_grow_with_tenants(
    queue: FairQueue, client: redis.Redis, blocked: float
) -> None:
    counts = []
    for tenants in (100, 5_000):
        client.flushall()
        shut = TenantSettings(cap=0, soft_cap=0).to_json()
        queue.enqueue(
            [
                Entry(f"{n}", "m", f"t{n}", settings=shut if n < tenants * blocked else "")
                for n in range(tenants)
            ]
        )
        queue.reserve(1)
        counts.append(commands_of(client, lambda: queue.reserve(1)))
    assert counts[0] == counts[1]


def commands_of(client: redis.Redis, verb: Any) -> int:
    client.config_resetstat()
    verb()
    stats: Any = client.info("commandstats")
    return sum(row["calls"] for name, row in stats.items() if name not in {"cmdstat_info", "cmdstat_config"})


def test_a_prefix_keeps_two_users_of_a_database_apart(client: redis.Redis) -> None:
    mine, theirs = FairQueue(client, "lane", "mine:"), FairQueue(client, "lane")
    mine.enqueue(entries("a", 1))
    assert theirs.reserve(1) == []
    assert client.exists(LaneKeys("lane", "mine:").of("body"))
    assert not client.exists(LaneKeys("lane").of("body"))
