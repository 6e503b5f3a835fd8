"""Random steps on a real queue and on the model, compared after each."""

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import redis

from tests.integration.fairshare.dump import INDEXES, Dump, dump
from tests.integration.fairshare.look import check_explanation, check_standing, check_stats, spoil
from tests.integration.fairshare.model import Job, Model, Tenant
from worker.fairshare.queue import (
    Entry,
    FairQueue,
    Finish,
    Outcome,
    Policy,
    Renewal,
    TenantSettings,
)
from worker.fairshare.units import moment_from_us, to_us

TENANTS = ("a", "b", "*", "c:d|{e}", "ünï\u2028code", "0")
KINDS = ("short", "long", "k:*")
POLICY = Policy(lease=timedelta(seconds=30), guess=timedelta(milliseconds=100), max_tries=4, step=3)
TOLERANCE = 3.0
"""Microseconds; the queue rounds virtual time and averages at every write, and guesses down."""


class Walk:
    """One random history."""

    def __init__(self, client: redis.Redis, clock: Any, seed: int) -> None:
        self.random = random.Random(seed)
        self.client = client
        self.clock = clock
        self.queue = FairQueue(client, "lane", policy=POLICY, clock=clock)
        self.model = Model(lease=to_us(POLICY.lease), guess=to_us(POLICY.guess), max_tries=POLICY.max_tries)
        self.made = 0
        self.ended: list[str] = []
        self.last_v = 0.0
        self.verbs: Counter[str] = Counter()
        self.lowered: set[str] = set()

    def step(self) -> None:
        verbs: list[tuple[Callable[[], None], float]] = [
            (self.pass_time, 4),
            (self.enqueue, 6),
            (self.reserve, 8),
            (self.finish, 8),
            (self.renew, 2),
            (self.restore, 1),
            (self.configure, 2),
            (self.cancel, 1),
            (self.look, 3),
            (self.audit, 2),
            (self.purge, 0.2),
        ]
        (verb,) = self.random.choices([verb for verb, _ in verbs], [weight for _, weight in verbs])
        self.verbs[verb.__name__] += 1
        self.model.now = self.clock.now
        verb()
        self.compare()

    # -- verbs

    def pass_time(self) -> None:
        seconds = self.random.choice([0.000001, 0.01, 0.3, 1, 5, 20, 40])
        self.clock.pass_by(seconds=seconds)
        self.model.now = self.clock.now

    def enqueue(self) -> None:
        for _ in range(self.random.randint(1, 5)):
            self.enqueue_one()

    def enqueue_one(self) -> None:
        again = self.random.random() < 0.1 and self.model.jobs
        if again:
            job = self.random.choice(sorted(self.model.jobs))
        else:
            self.made += 1
            job = f"j{self.made}"
        due = self.clock.now + self.random.choice([0, 0, 0, 500_000, 8_000_000])
        boost = self.random.choice([0, 0, 0, 3_000_000])
        must = self.random.random() < 0.2
        name, kind = self.random.choice(TENANTS), self.random.choice(KINDS)
        given: dict[str, float] = {}
        if self.random.random() < 0.5:
            given = {"weight": self.random.choice([1, 2.5, 5]), "cap": 2}
            given["soft_cap"] = self.random.choice([2, 3])
        if self.random.random() < 0.1:
            given["max_backlog"] = 3
        entry = Entry(
            job,
            f"message of {job}",
            name,
            kind,
            due=moment_from_us(due) if due > self.clock.now else None,
            head_start=timedelta(microseconds=boost),
            must=must,
            settings=json.dumps(given) if given else "",
        )
        (placed,) = self.queue.enqueue([entry])
        expected = self.model.enqueue(job, Job(name, kind, boost), due=due, must=must, settings=given)
        assert placed == expected
        if name in self.model.tenants:
            self.model.place(name)

    def reserve(self) -> None:
        wanted = self.random.randint(1, 6)
        ends = self.some_ends() if self.random.random() < 0.5 else []
        if self.random.random() < 0.5:
            self.client.lpop(self.queue.keys.bell)  # as whoever waited for it does
        got = self.queue.reserve(wanted, ends)
        self.model.finish([end.arguments() for end in ends])
        self.model.listen(POLICY.step)
        self.model.promote(POLICY.step)
        for job in got:
            expected = self.model.reserve(POLICY.step)
            assert expected == job.job
            assert job.tries == self.model.jobs[job.job].tries
            assert job.message == f"message of {job.job}".encode()
            self.model.hand_out(job.job, job.token)
        if len(got) < wanted:
            assert self.model.reserve(POLICY.step) is None

    def finish(self) -> None:
        ends = self.some_ends()
        assert self.queue.finish(ends) == self.model.finish([end.arguments() for end in ends])

    def some_ends(self) -> list[Finish]:
        ends = [self.some_end() for _ in range(self.random.randint(1, 3))]
        self.ended += [end.token for end in ends]
        return ends

    def some_end(self) -> Finish:
        if not self.model.leases or self.random.random() < 0.05:
            token = self.random.choice(self.ended) if self.ended else "never"
        else:
            token = self.random.choice(sorted(self.model.leases))
        outcome = self.random.choice([*Outcome, Outcome.ACK, Outcome.ACK, Outcome.ACK])
        used = self.random.choice([-1, -1, 0, 5_000, 2_000_000])
        due = self.random.choice([0, self.clock.now + 1_000_000]) if outcome is Outcome.RETRY else 0
        return Finish(token, outcome, None if used < 0 else timedelta(microseconds=used), moment_from_us(due))

    def renew(self) -> None:
        tokens = [token for token in sorted(self.model.leases) if self.random.random() < 0.7]
        if self.ended:
            tokens.append(self.random.choice(self.ended))
        used = self.random.choice([-1, 0, 3_000_000])
        span = None if used < 0 else timedelta(microseconds=used)
        kept = self.queue.renew([Renewal(token, span) for token in tokens])
        if tokens:
            self.model.seen = self.clock.now
        assert kept == [self.model.renew(token, used) for token in tokens]

    def restore(self) -> None:
        limit = self.random.randint(1, 3)
        assert self.queue.restore(limit) == self.model.restore(limit)

    def configure(self) -> None:
        name = self.random.choice(TENANTS)
        changes: dict[str, Any] = self.random.choice(
            [
                {"weight": self.random.choice([0.5, 1, 3, 7])},
                {"cap": self.random.choice([1, 2, 5, False])},
                {"soft_cap": self.random.choice([1, 3, False])},
                {"gap": self.random.choice([1_000_000, False]), "tau": self.random.choice([0, 2_000_000])},
                {"paused": self.random.choice([True, False, False])},
                {"paused_kinds": self.random.choice([{"short"}, set(), set()])},
                {"max_backlog": self.random.choice([5, False, False])},
            ]
        )
        self.queue.configure(name, settings_of(changes))
        self.model.configure(name, dict(changes))
        if "cap" in changes or "soft_cap" in changes:
            self.lowered.add(name)

    def cancel(self) -> None:
        jobs = self.random.sample(sorted(self.model.jobs), min(2, len(self.model.jobs)))
        jobs.append("never")
        touched = list(dict.fromkeys(self.model.jobs[job].tenant for job in jobs if job in self.model.jobs))
        assert self.queue.cancel(jobs) == [self.model.cancel(job) for job in jobs]
        for name in touched:
            self.model.place(name)

    def look(self) -> None:
        check_standing(self.queue, self.model, self.random.choice([*TENANTS, "stranger"]))
        check_explanation(self.queue, self.model, self.random.choice([*sorted(self.model.jobs), "never"]))
        check_stats(self.queue, self.model)

    def audit(self) -> None:
        """Spoil one tenant's place; the audit finds it, and puts it right as if the tenant came back."""
        if not self.model.tenants:
            return
        name = self.random.choice(sorted(self.model.tenants))
        spoil(self.client, self.queue, self.model.tenants[name].at, name, self.random)
        assert self.queue.audit() == 1
        assert self.queue.audit(repair=True) == 1
        self.model.tenants[name].at = ""
        self.model.place(name)

    def purge(self) -> None:
        assert self.queue.purge() == self.model.purge()

    # -- checks

    def compare(self) -> None:
        seen = dump(self.client, self.queue.keys)
        self.check_invariants(seen)
        self.check_against_model(seen)
        assert self.queue.audit() == 0

    def check_invariants(self, seen: Dump) -> None:
        """What must hold whatever the algorithm."""
        assert len(seen.waiting) == len(set(seen.waiting))
        in_flight = {token for tokens in seen.flight.values() for token in tokens}
        assert in_flight == set(seen.leases) == seen.lease_rows
        assert len(seen.bodies) == len(seen.waiting) + len(in_flight)
        places = Counter(name for index in INDEXES for name in seen.indexes[index])
        assert all(count == 1 for count in places.values())
        assert seen.bell == 1 or not (seen.indexes["ready"] or seen.indexes["burst"])
        v = float(seen.clock.get("v", 0))
        assert v >= self.last_v
        self.last_v = v

    def check_against_model(self, seen: Dump) -> None:
        model = self.model
        assert seen.bodies == set(model.jobs)
        assert seen.dead == model.dead
        assert seen.leases == {token: lease.deadline for token, lease in model.leases.items()}
        assert abs(float(seen.clock.get("v", 0)) - model.v) < TOLERANCE
        for name, tenant in model.tenants.items():
            assert seen.queues[name] == tenant.queue
            assert seen.delayed[name] == tenant.delayed
            assert seen.aside[name] == tenant.aside
            assert seen.flight[name] == tenant.flight
            self.check_tenant(seen, name, tenant)
            if name not in self.lowered:
                assert len(tenant.flight) <= max(tenant.cap, tenant.soft_cap)

    def check_tenant(self, seen: Dump, name: str, tenant: Tenant) -> None:
        found = {index for index in INDEXES if name in seen.indexes[index]}
        assert found == ({tenant.at} if tenant.at else set()), name
        if "vt" in seen.hashes[name]:
            assert abs(float(seen.hashes[name]["vt"]) - tenant.vt) < TOLERANCE, name
            assert abs(float(seen.hashes[name]["used"]) - tenant.used) < TOLERANCE, name
            tenant.vt = float(seen.hashes[name]["vt"])
        if tenant.at in {"ready", "burst"}:
            assert abs(seen.indexes[tenant.at][name] - tenant.vt) < TOLERANCE

    def drain(self) -> None:
        """Whatever happened, everything runs in the end."""
        for name in list(self.model.tenants):
            open_up = {"paused": False, "paused_kinds": set(), "gap": False, "cap": False, "soft_cap": False}
            self.model.now = self.clock.now
            self.queue.configure(name, settings_of(open_up))
            self.model.configure(name, open_up)
        left = set(self.model.jobs)
        for _ in range(10 * len(left) + 50):
            got = self.queue.reserve(5)
            self.queue.finish([Finish(job.token) for job in got])
            left -= {job.job for job in got} | dump(self.client, self.queue.keys).dead
            if not left:
                break
            self.clock.pass_by(seconds=1)
        assert not left
        assert self.client.hlen(self.queue.keys.of("body")) == 0
        self.queue.destroy()
        assert list(self.client.scan_iter()) == []


def settings_of(changes: dict[str, Any]) -> TenantSettings:
    spans = {
        name: timedelta(microseconds=changes[name]) if changes[name] is not False else False
        for name in ("gap", "tau")
        if name in changes
    }
    kinds = {"paused_kinds": frozenset(changes["paused_kinds"])} if "paused_kinds" in changes else {}
    return TenantSettings(**{**changes, **spans, **kinds})
