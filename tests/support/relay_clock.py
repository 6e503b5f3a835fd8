"""The relay's clock, stopped in the middle of a period: none ends between two passes of a test."""

import time

import pytest

from worker.relay import REBUILD_EVERY_S


class RelayClock:
    """Says to the relay what time it is, and to nobody else."""

    def __init__(self) -> None:
        self._now = (int(time.time() / REBUILD_EVERY_S) + 0.5) * REBUILD_EVERY_S

    def time(self) -> float:
        return self._now

    def pass_period(self) -> None:
        """Let the period be over after which all that waits is offered again."""
        self._now += REBUILD_EVERY_S


@pytest.fixture(autouse=True)
def relay_clock(monkeypatch: pytest.MonkeyPatch) -> RelayClock:
    clock = RelayClock()
    monkeypatch.setattr("worker.relay.time", clock)
    return clock
