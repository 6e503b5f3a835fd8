"""The algorithm of docs/fairness.md once more, plainly: what a lane should hold after each verb."""

from dataclasses import dataclass, field
from typing import Any

DEBT_WINDOW = 60_000_000
NO_LIMIT = 2**52
RIPEN_LIMIT = 64
LEAST_SILENCE = 2_000_000


@dataclass
class Job:
    tenant: str
    kind: str
    boost: int
    tries: int = 0


@dataclass
class Lease:
    job: str
    kind: str
    tenant: str
    score: float
    start: int
    charged: int
    guessed: int
    deadline: int


@dataclass
class Tenant:
    weight: float = 1
    cap: float = NO_LIMIT
    soft_cap: float = NO_LIMIT
    max_backlog: float = NO_LIMIT
    gap: int = 0
    tau: int = 0
    tat: float = 0
    paused: bool = False
    paused_kinds: set[str] = field(default_factory=set)
    vt: float = 0
    guessed: float = 0
    used: float = 0
    at: str = ""
    queue: dict[str, float] = field(default_factory=dict)
    delayed: dict[str, float] = field(default_factory=dict)
    aside: dict[str, float] = field(default_factory=dict)
    flight: set[str] = field(default_factory=set)
    averages: dict[str, float] = field(default_factory=dict)

    @property
    def settled(self) -> float:
        return self.vt - self.guessed / self.weight


class Model:
    def __init__(self, *, lease: int, guess: int, max_tries: int) -> None:
        self.lease, self.guess, self.max_tries = lease, guess, max_tries
        self.now = 0
        self.seq = 0
        self.v = self.seen = self.grace = 0.0
        self.entries = 0
        self.tenants: dict[str, Tenant] = {}
        self.jobs: dict[str, Job] = {}
        self.dead: set[str] = set()
        self.leases: dict[str, Lease] = {}
        self.averages: dict[str, float] = {}

    # -- where a tenant belongs

    def belongs(self, tenant: Tenant) -> str:
        if tenant.paused:
            return ""
        if not tenant.queue:
            if not tenant.delayed:
                return ""
            if min(tenant.delayed.values()) > self.now:
                return "due"
        if tenant.gap and tenant.tat - tenant.tau > self.now:
            return "limited"
        if len(tenant.flight) < tenant.cap:
            return "ready"
        return "burst" if len(tenant.flight) < tenant.soft_cap else ""

    def place(self, name: str) -> None:
        tenant = self.tenants[name]
        where = self.belongs(tenant)
        if where in {"ready", "burst"} and tenant.at not in {"ready", "burst"}:
            waiting = self.standing("ready")
            if waiting:
                self.v = max(self.v, waiting[0][1].settled)
            self.entries = (self.entries + 1) % 1000
            tenant.vt = max(tenant.vt, self.v + self.entries / 1000)
            tenant.vt = min(tenant.vt, self.v + 1 + (DEBT_WINDOW + tenant.guessed) / tenant.weight)
        tenant.at = where

    def standing(self, index: str) -> list[tuple[str, Tenant]]:
        found = [(name, tenant) for name, tenant in self.tenants.items() if tenant.at == index]
        return sorted(found, key=lambda pair: (round(pair[1].vt, 3), pair[0].encode()))

    # -- verbs

    def enqueue(self, job: str, entry: Job, *, due: int, must: bool, settings: dict[str, float]) -> int:
        if job in self.jobs:
            return 0
        if entry.tenant not in self.tenants:
            self.tenants[entry.tenant] = Tenant(**settings)
        tenant = self.tenants[entry.tenant]
        if not must and len(tenant.queue) + len(tenant.delayed) >= tenant.max_backlog:
            return -1
        self.jobs[job] = entry
        if due > self.now:
            tenant.delayed[job] = due
        else:
            self.seq = max(self.now, self.seq + 1)
            tenant.queue[job] = self.seq - entry.boost
        return 1

    def listen(self, limit: int) -> None:
        silence = max(self.lease / 2, LEAST_SILENCE)
        if self.seen > 0 and self.now - self.seen > silence:
            self.grace = self.now + self.lease // 3
        self.seen = self.now
        if self.now >= self.grace:
            self.restore(limit)

    def restore(self, limit: int) -> int:
        expired = sorted(
            (lease.deadline, token) for token, lease in self.leases.items() if lease.deadline <= self.now
        )
        self.finish([(token, "lost", -1, 0) for _, token in expired[:limit]])
        return len(expired[:limit])

    def promote(self, limit: int) -> None:
        for index in ("limited", "due"):
            ripe = sorted(
                (self.moment_of(tenant), name.encode(), name)
                for name, tenant in self.tenants.items()
                if tenant.at == index and self.moment_of(tenant) <= self.now
            )
            for _, _, name in ripe[:limit]:
                self.place(name)

    def moment_of(self, tenant: Tenant) -> float:
        return tenant.tat - tenant.tau if tenant.at == "limited" else min(tenant.delayed.values(), default=0)

    def next_tenant(self) -> str | None:
        for index in ("ready", "burst"):
            standing = self.standing(index)
            if standing:
                return standing[0][0]
        return None

    def reserve(self, limit: int) -> str | None:
        """Return the job whose turn it is, with what is set aside on the way; `hand_out` leases it."""
        for _ in range(limit):
            name = self.next_tenant()
            if name is None:
                return None
            tenant = self.tenants[name]
            self.ripen(tenant)
            if tenant.queue:
                job = min(tenant.queue, key=lambda job: (tenant.queue[job], job.encode()))
                if self.jobs[job].kind not in tenant.paused_kinds:
                    return job
                tenant.aside[job] = tenant.queue.pop(job)
            self.place(name)
        return None

    def ripen(self, tenant: Tenant) -> None:
        ripe = sorted((due, job.encode(), job) for job, due in tenant.delayed.items() if due <= self.now)
        for due, _, job in ripe[:RIPEN_LIMIT]:
            del tenant.delayed[job]
            tenant.queue[job] = due - self.jobs[job].boost

    def hand_out(self, job: str, token: str) -> None:
        self.seq = max(self.now, self.seq + 1)
        assert token == str(self.seq)
        entry = self.jobs[job]
        tenant = self.tenants[entry.tenant]
        average = tenant.averages.get(entry.kind, self.averages.get(entry.kind, self.guess))
        charged = int(average)
        self.v = max(self.v, tenant.settled)
        tenant.vt += charged / tenant.weight
        tenant.used += charged
        tenant.guessed += charged
        if tenant.gap:
            tenant.tat = max(self.now, tenant.tat) + tenant.gap
        score = tenant.queue.pop(job)
        self.leases[token] = Lease(
            job, entry.kind, entry.tenant, score, self.now, charged, charged, self.now + self.lease
        )
        tenant.flight.add(token)
        self.place(entry.tenant)

    def finish(self, ends: list[tuple[str, str, int, int]]) -> list[int]:
        """End leases, then place their tenants: those that stand in ready first."""
        held = [self.leases[token].tenant for token, *_ in ends if token in self.leases]
        results = [self._finish(*ending) for ending in ends]
        standing = {name for name in held if self.tenants[name].at in {"ready", "burst"}}
        for name in sorted(dict.fromkeys(held), key=lambda name: name not in standing):
            self.place(name)
        return results

    def _finish(self, token: str, outcome: str, used: int, due: int) -> int:
        lease = self.leases.pop(token, None)
        if lease is None:
            return 0
        tenant = self.tenants[lease.tenant]
        tenant.flight.discard(token)
        longest = max(0, self.now - lease.start)
        if outcome == "lost":
            longest = max(0, min(self.now, lease.deadline) - lease.start)
        used = longest if used < 0 or used > longest else used
        if outcome == "unstarted":
            used = 0
            tenant.tat = max(0, tenant.tat - tenant.gap)
        tenant.vt += (used - lease.charged) / tenant.weight
        tenant.used += used - lease.charged
        tenant.guessed = max(0, tenant.guessed - lease.guessed)
        if outcome not in {"lost", "unstarted"}:
            for averages in (tenant.averages, self.averages):
                old = averages.get(lease.kind, used)
                averages[lease.kind] = round(old + (used - old) / 8, 3)
        return self._leave(lease, outcome, due)

    def _leave(self, lease: Lease, outcome: str, due: int) -> int:
        job, tenant = self.jobs[lease.job], self.tenants[lease.tenant]
        if outcome in {"ack", "drop"}:
            del self.jobs[lease.job]
            return 1
        if outcome != "unstarted":
            job.tries += 1
            if job.tries >= self.max_tries:
                del self.jobs[lease.job]
                self.dead.add(lease.job)
                return 2
        if due > self.now:
            tenant.delayed[lease.job] = due
        else:
            tenant.queue[lease.job] = lease.score
        return 1

    def renew(self, token: str, used: int) -> bool:
        lease = self.leases.get(token)
        if lease is None:
            return False
        tenant = self.tenants[lease.tenant]
        longest = max(0, self.now - lease.start)
        used = longest if used < 0 or used > longest else used
        if used > lease.charged:
            tenant.vt += (used - lease.charged) / tenant.weight
            tenant.used += used - lease.charged
            tenant.guessed = max(0, tenant.guessed - lease.guessed)
            lease.charged, lease.guessed = used, 0
        lease.deadline = max(lease.deadline, self.now + self.lease)
        self.place(lease.tenant)
        return True

    def configure(self, name: str, changes: dict[str, Any]) -> None:
        tenant = self.tenants.setdefault(name, Tenant())
        weight = changes.get("weight", tenant.weight)
        tenant.vt = self.v + (tenant.vt - self.v) * tenant.weight / weight
        for key, value in changes.items():
            limit = 0 if key in {"gap", "tau"} else NO_LIMIT
            setattr(tenant, key, limit if value is False and key != "paused" else value)
        tenant.queue.update(tenant.aside)
        tenant.aside.clear()
        self.place(name)

    def cancel(self, job: str) -> int:
        if job not in self.jobs:
            return -1
        tenant = self.tenants[self.jobs[job].tenant]
        waited = [
            places.pop(job, None) is not None for places in (tenant.queue, tenant.delayed, tenant.aside)
        ]
        if not any(waited):
            return 0
        del self.jobs[job]
        return 1

    def purge(self) -> int:
        """Drop what waits, and place the tenants that had anything."""
        touched = {job.tenant for job in self.jobs.values()}
        dropped = 0
        for name in touched:
            tenant = self.tenants[name]
            for places in (tenant.queue, tenant.delayed, tenant.aside):
                for job in places:
                    del self.jobs[job]
                dropped += len(places)
                places.clear()
            self.place(name)
        return dropped
