"""Read everything a lane holds."""

from dataclasses import dataclass

import redis

from worker.fairshare.keys import LaneKeys

INDEXES = ("ready", "burst", "limited", "due")


@dataclass
class Dump:
    indexes: dict[str, dict[str, float]]
    queues: dict[str, dict[str, float]]
    delayed: dict[str, dict[str, float]]
    aside: dict[str, dict[str, float]]
    flight: dict[str, set[str]]
    hashes: dict[str, dict[str, str]]
    leases: dict[str, float]
    lease_rows: set[str]
    bodies: set[str]
    dead: set[str]
    clock: dict[str, str]
    bell: int

    @property
    def waiting(self) -> list[str]:
        """Every job that waits, as often as it stands somewhere."""
        return [
            job for part in (self.queues, self.delayed, self.aside) for jobs in part.values() for job in jobs
        ]


def dump(client: redis.Redis, keys: LaneKeys) -> Dump:
    names = sorted(name.decode() for name in client.smembers(keys.of("tenants")))
    with client.pipeline(transaction=False) as pipe:
        for index in INDEXES:
            pipe.zrange(keys.of(index), 0, -1, withscores=True)
        for name in names:
            for part in "qdhf":
                pipe.zrange(keys.of_tenant(part, name), 0, -1, withscores=True)
            pipe.hgetall(keys.of_tenant("t", name))
        pipe.zrange(keys.of("leases"), 0, -1, withscores=True)
        pipe.hkeys(keys.of("lease"))
        pipe.hkeys(keys.of("body"))
        pipe.hkeys(keys.of("dead"))
        pipe.hgetall(keys.of("clock"))
        pipe.llen(keys.bell)
        answers = iter(pipe.execute())
    indexes = {index: scores(next(answers)) for index in INDEXES}
    parts: dict[str, dict[str, dict[str, float]]] = {part: {} for part in "qdhf"}
    hashes = {}
    for name in names:
        for part in "qdhf":
            parts[part][name] = scores(next(answers))
        hashes[name] = texts(next(answers))
    return Dump(
        indexes=indexes,
        queues=parts["q"],
        delayed=parts["d"],
        aside=parts["h"],
        flight={name: set(tokens) for name, tokens in parts["f"].items()},
        hashes=hashes,
        leases=scores(next(answers)),
        lease_rows={token.decode() for token in next(answers)},
        bodies={job.decode() for job in next(answers)},
        dead={job.decode() for job in next(answers)},
        clock=texts(next(answers)),
        bell=next(answers),
    )


def scores(pairs: list[tuple[bytes, float]]) -> dict[str, float]:
    return {member.decode(): score for member, score in pairs}


def texts(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}
