"""Apply each mutant in turn and let random histories find it: ``python -m tests.mutants.run [name part]``.

Exits 1 if a mutant survives, or if the unchanged scripts fail.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from ops.embedded_redis import EmbeddedRedis
from tests.integration.fairshare.conftest import ManualClock
from tests.integration.fairshare.walk import Walk
from tests.mutants.mutants import MUTANTS, Mutant
from worker.fairshare import script

SEEDS = range(1000, 1012)
STEPS = 300


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Load the scripts with the mutant's change."""
    original = script.source

    def changed(name: str) -> str:
        text = original(name)
        if name != mutant.script:
            return text
        if text.count(mutant.old) == 0:
            raise LookupError(f"{mutant.name}: its text is not in {name}.lua any more")
        return text.replace(mutant.old, mutant.new)

    script.source = changed
    script.load.cache_clear()
    try:
        yield
    finally:
        script.source = original
        script.load.cache_clear()


def survives(client: redis.Redis) -> bool:
    """Walk until something is wrong; True if nothing ever is."""
    for seed in SEEDS:
        client.flushall()
        walk = Walk(client, ManualClock(), seed)
        try:
            for _ in range(STEPS):
                walk.step()
            walk.drain()
        except redis.ResponseError as error:
            if "ompiling" in str(error):
                raise  # a mutant that is no script at all proves nothing
            return False
        except (AssertionError, KeyError):
            return False
    return True


def main() -> int:
    """Kill every mutant, and report the survivors."""
    chosen = [mutant for mutant in MUTANTS if len(sys.argv) == 1 or sys.argv[1] in mutant.name]
    survivors = []
    with tempfile.TemporaryDirectory() as directory:
        server = EmbeddedRedis(Path(directory), password="mutants", durable=False)
        server.start()
        try:
            with redis.Redis.from_url(server.url()) as client:
                if not survives(client):
                    print("the unchanged scripts fail")  # noqa: T201 - a command line prints
                    return 1
                for mutant in chosen:
                    began = time.monotonic()
                    with applied(mutant):
                        alive = survives(client)
                    survivors += [mutant.name] if alive else []
                    verdict = "SURVIVES" if alive else "killed"
                    print(f"{verdict:9} {time.monotonic() - began:5.1f} s  {mutant.name}", flush=True)  # noqa: T201
        finally:
            server.stop()
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants killed")  # noqa: T201
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
