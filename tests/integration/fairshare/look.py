"""What the reading verbs should answer, by the model."""

import random

import redis

from tests.integration.fairshare.model import Model, Tenant
from worker.fairshare.queue import FairQueue
from worker.fairshare.standing import Standing, standings
from worker.fairshare.units import from_us, moment_from_us
from worker.fairshare.view import Explanation

SAMPLE = 3
WRONG_SCORE = 12_345.0


def expected_standing(model: Model, lane: str, name: str) -> Standing:
    known = name in model.tenants
    tenant = model.tenants.get(name, Tenant())
    return Standing(
        lane=lane,
        known=known,
        weight=tenant.weight,
        waiting=len(tenant.queue),
        delayed=len(tenant.delayed),
        set_aside=len(tenant.aside),
        in_flight=len(tenant.flight),
        oldest=moment_from_us(min(tenant.queue.values(), default=0)),
        first_due=moment_from_us(min(tenant.delayed.values(), default=0)),
        used=from_us(round(tenant.used)),
        average_run=average_run(model, tenant),
        paused=tenant.paused,
        paused_kinds=frozenset(tenant.paused_kinds),
        place=tenant.at,
    )


def in_order(tenant: Tenant) -> list[str]:
    return sorted(tenant.queue, key=lambda job: (tenant.queue[job], job.encode()))


def average_of(model: Model, tenant: Tenant, kind: str) -> float:
    return tenant.averages.get(kind, model.averages.get(kind, 0))


def average_run(model: Model, tenant: Tenant) -> object:
    runs = [average_of(model, tenant, model.jobs[job].kind) for job in in_order(tenant)[:SAMPLE]]
    known = [run for run in runs if run > 0]
    mean = round(sum(known) / len(known)) if known else 0
    return from_us(mean) if mean else None


def reason(model: Model, tenant: Tenant, job: str) -> tuple[str, float]:
    if job in tenant.aside:
        return "kind_paused", 0
    if tenant.delayed.get(job, 0) > model.now:
        return "delayed", tenant.delayed[job]
    if job not in tenant.delayed and job not in tenant.queue:
        return "running", 0
    if tenant.paused:
        return "paused", 0
    where = model.belongs(tenant)
    if where == "limited":
        return "limited", tenant.tat - tenant.tau
    return ("turn" if where else "capped"), 0


def tenants_before(model: Model, name: str) -> int:
    ready = [other for other, _ in model.standing("ready")]
    burst = [other for other, _ in model.standing("burst")]
    if name in ready:
        return ready.index(name)
    return len(ready) + (burst.index(name) if name in burst else 0)


def expected_explanation(model: Model, job: str) -> Explanation | None:
    if job not in model.jobs:
        return None
    entry = model.jobs[job]
    tenant = model.tenants[entry.tenant]
    why, until = reason(model, tenant, job)
    ordered = in_order(tenant)
    average = round(average_of(model, tenant, entry.kind))
    return Explanation(
        reason=why,
        tenant=entry.tenant,
        kind=entry.kind,
        jobs_before=ordered.index(job) if job in ordered else len(ordered),
        tenants_before=tenants_before(model, entry.tenant),
        until=moment_from_us(until),
        in_flight=len(tenant.flight),
        average=from_us(average) if average else None,
        workers_seen=moment_from_us(model.seen),
    )


def check_standing(queue: FairQueue, model: Model, name: str) -> None:
    (found,) = standings([queue], name, sample=SAMPLE)
    expected = expected_standing(model, queue.lane, name)
    assert near(found.used, expected.used), name
    assert near(found.average_run, expected.average_run), name
    same = {"used": found.used, "average_run": found.average_run}
    assert found == Standing(**{**fields_of(expected), **same})
    (unsampled,) = standings([queue], name)
    assert unsampled.average_run is None


def check_explanation(queue: FairQueue, model: Model, job: str) -> None:
    found, expected = queue.explain(job), expected_explanation(model, job)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert near(found.average, expected.average)
        assert found == Explanation(**{**fields_of(expected), "average": found.average})


def check_stats(queue: FairQueue, model: Model) -> None:
    rows = {row.tenant: row for row in queue.stats()}
    assert set(rows) == set(model.tenants)
    for name, row in rows.items():
        tenant = model.tenants[name]
        assert (row.weight, row.waiting, row.delayed, row.in_flight, row.place, row.set_aside) == (
            tenant.weight,
            len(tenant.queue),
            len(tenant.delayed),
            len(tenant.flight),
            tenant.at,
            len(tenant.aside),
        )
        assert row.oldest == moment_from_us(min(tenant.queue.values(), default=0))
        assert near(row.used, from_us(round(tenant.used)))
        assert abs(row.virtual_time - tenant.vt) < 1


def near(found: object, expected: object) -> bool:
    """Tell whether two spans are the same but for the rounding of averages."""
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= from_us(2)  # type: ignore[operator] # spans


def fields_of(row: Standing | Explanation) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__slots__}


def spoil(client: redis.Redis, queue: FairQueue, at: str, name: str, chance: random.Random) -> None:
    """Put a tenant where it does not belong, as a foreign hand would."""
    if at and chance.random() < 0.5:
        client.zrem(queue.keys.of(at), name)
    elif at in {"ready", "burst"} and chance.random() < 0.5:
        client.zadd(queue.keys.of(at), {name: WRONG_SCORE})
    else:
        client.zadd(queue.keys.of("burst" if at == "ready" else "ready"), {name: WRONG_SCORE})
