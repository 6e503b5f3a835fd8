"""What a chaos run does to the system: one function a fault, each leaves the system able to recover."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
import redis

from ops.process import ChildProcess
from ops.stack import Stack
from tests.chaos.crew import Crew
from tests.chaos.network import Mode, Network
from tests.integration.families.stand_in import StandIn

SNAPSHOT = "dump.rdb"


@dataclass
class Site:
    """All that a fault may touch."""

    stack: Stack
    crew: Crew
    to_postgres: Network
    to_redis: Network
    stand_in: StandIn
    lease_s: float
    chance: random.Random

    def longer_than_a_lease(self) -> None:
        time.sleep(self.lease_s * self.chance.uniform(1.2, 1.8))

    def a_moment(self) -> None:
        time.sleep(self.chance.uniform(0.2, 1.0))


Fault = Callable[[Site], None]
FAULTS: dict[str, Fault] = {}
"""Every fault by what the report calls it."""


def fault(name: str) -> Callable[[Fault], Fault]:
    def note(act: Fault) -> Fault:
        FAULTS[name] = act
        return act

    return note


def draw_faults(chance: random.Random) -> Iterator[str]:
    """Yield names of faults for ever: all of them in random order, then all again in another."""
    while True:
        yield from chance.sample(sorted(FAULTS), len(FAULTS))


# -- processes


@fault("kill a worker with its pool")
def _(site: Site) -> None:
    site.crew.kill_all_of(site.chance.choice(site.crew.workers))


@fault("kill a worker's parent process only")
def _(site: Site) -> None:
    site.crew.kill_parent_of(site.crew.workers[0])
    site.a_moment()


@fault("kill one process of a worker's pool")
def _(site: Site) -> None:
    for child in _pool_processes(site)[:1]:
        child.kill()


@fault("kill all workers at once")
def _(site: Site) -> None:
    for worker in site.crew.workers:
        site.crew.kill_all_of(worker)


@fault("kill the intake")
def _(site: Site) -> None:
    site.crew.kill_all_of(site.crew.intakes[0])


@fault("kill a beat")
def _(site: Site) -> None:
    site.crew.kill_all_of(site.chance.choice(site.crew.beats))


@fault("ask a worker to stop (SIGTERM)")
def _(site: Site) -> None:
    worker = site.chance.choice(site.crew.workers)
    site.crew.expect_end_of(worker)
    worker.ask_to_stop()
    site.a_moment()


@fault("stop a worker for longer than a lease")
def _(site: Site) -> None:
    with _stopped(_family(site.chance.choice(site.crew.workers))):
        site.longer_than_a_lease()


@fault("stop one process of a pool for longer than a lease")
def _(site: Site) -> None:
    with _stopped(_pool_processes(site)[:1]):
        site.longer_than_a_lease()


@fault("stop the intake for longer than its clients wait")
def _(site: Site) -> None:
    with _stopped(_family(site.crew.intakes[0])):
        time.sleep(4.5)


@fault("stop all beats for longer than a lease")
def _(site: Site) -> None:
    with _stopped([process for beat in site.crew.beats for process in _family(beat)]):
        site.longer_than_a_lease()


# -- servers


@fault("restart Postgres (fast)")
def _(site: Site) -> None:
    assert site.stack.embedded_postgres is not None
    site.stack.embedded_postgres.stop()
    site.stack.embedded_postgres.start()


@fault("crash Postgres and recover it")
def _(site: Site) -> None:
    assert site.stack.embedded_postgres is not None
    site.stack.embedded_postgres.kill()
    site.stack.embedded_postgres.start()


@fault("kill one Postgres backend (all sessions end)")
def _(site: Site) -> None:
    backends = [process for process in _postgres_processes(site) if "genius_app" in _title(process)]
    for backend in site.chance.sample(backends, min(1, len(backends))):
        backend.kill()


@fault("kill Redis, which forgets all")
def _(site: Site) -> None:
    assert site.stack.embedded_redis is not None
    site.stack.embedded_redis.kill()
    site.a_moment()
    site.stack.embedded_redis.start()


@fault("empty Redis while it runs")
def _(site: Site) -> None:
    with _redis(site) as client:
        client.flushall()


@fault("set Redis back to an older snapshot")
def _(site: Site) -> None:
    assert site.stack.embedded_redis is not None
    with _redis(site) as client:
        client.save()
    site.longer_than_a_lease()
    site.stack.embedded_redis.kill()
    site.stack.embedded_redis.start()
    (site.stack.embedded_redis.directory / SNAPSHOT).unlink()


# -- networks


@fault("cut the network to Redis")
def _(site: Site) -> None:
    with _broken(site.to_redis, Mode.CUT):
        site.longer_than_a_lease()


@fault("cut the network to Postgres")
def _(site: Site) -> None:
    with _broken(site.to_postgres, Mode.CUT):
        site.longer_than_a_lease()


@fault("silence the network to Redis for longer than a lease")
def _(site: Site) -> None:
    with _broken(site.to_redis, Mode.SILENT):
        site.longer_than_a_lease()


@fault("silence the network to Postgres for longer than a lease")
def _(site: Site) -> None:
    with _broken(site.to_postgres, Mode.SILENT):
        site.longer_than_a_lease()


@fault("lose the answers of Redis")
def _(site: Site) -> None:
    with _broken(site.to_redis, Mode.DEAF):
        site.a_moment()


@fault("lose the answers of Postgres (commits of unknown outcome)")
def _(site: Site) -> None:
    with _broken(site.to_postgres, Mode.DEAF):
        site.a_moment()


# -- the posting server


@fault("the posting server publishes and hangs up")
def _(site: Site) -> None:
    _plant(site, "drop_after")


@fault("the posting server publishes and answers 502")
def _(site: Site) -> None:
    _plant(site, "server_error_after")


@fault("the posting server hangs up before it publishes")
def _(site: Site) -> None:
    _plant(site, "drop_before")


@fault("the posting server answers 429, come back in a second")
def _(site: Site) -> None:
    _plant(site, "rate_limit", seconds=1.0)


@fault("the posting server is slow")
def _(site: Site) -> None:
    _plant(site, "slow", seconds=0.5)


def _plant(site: Site, kind: str, **details: float) -> None:
    for platform in ("bluesky", "mastodon"):
        site.stand_in.plant(platform, kind, times=site.chance.randint(1, 4), **details)


def _family(child: ChildProcess) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(child.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _postgres_processes(site: Site) -> list[psutil.Process]:
    """Find what the server started."""
    assert site.stack.embedded_postgres is not None
    postmaster = (site.stack.embedded_postgres.data / "postmaster.pid").read_text().split()[0]
    return psutil.Process(int(postmaster)).children()


def _title(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def _pool_processes(site: Site) -> list[psutil.Process]:
    """Find the processes of the prefork pool, in random order."""
    pool = _family(site.crew.workers[0])[1:]
    return site.chance.sample(pool, len(pool))


@contextmanager
def _stopped(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    yield
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)


@contextmanager
def _broken(network: Network, mode: Mode) -> Iterator[None]:
    network.become(mode)
    yield
    network.become(Mode.WHOLE)


@contextmanager
def _redis(site: Site) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(site.stack.redis_url) as client:
        yield client
