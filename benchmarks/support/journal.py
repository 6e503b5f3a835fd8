"""What jobs write down of themselves while they are measured: one line each, at their end."""

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One job that ran (moments in seconds since 1970)."""

    tenant: str
    sent: float
    began: float
    ended: float

    @property
    def wait(self) -> float:
        """Return how long it waited for its turn (s)."""
        return self.began - self.sent


def nap(journal: int, tenant: str, seconds: float, sent: float) -> None:
    """Hold a slot for so long, and write it down; the body of the measured jobs."""
    began = time.time()
    time.sleep(seconds)
    os.write(journal, f"{tenant} {sent:.6f} {began:.6f} {time.time():.6f}\n".encode())


def open_journal() -> int:
    """Open the file that the benchmark named."""
    return os.open(os.environ["BENCH_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def read(path: Path) -> list[Run]:
    """Read every job that has ended."""
    rows = (line.split() for line in path.read_text().splitlines())
    return [Run(tenant, *(float(moment) for moment in moments)) for tenant, *moments in rows]
