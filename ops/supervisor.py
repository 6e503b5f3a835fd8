"""Keep a set of child processes running until told to stop."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from ops.error import OperatorError
from ops.process import ChildProcess, Ready

MOST_RESTARTS = 5
RESTARTS_WITHIN_SECONDS = 60.0
STOP_WITHIN = timedelta(seconds=15)


class KeepsEndingError(OperatorError):
    """A child ends whenever it is started; carries its name, exit code and the end of its log."""

    def __init__(self, child: ChildProcess) -> None:
        super().__init__(
            f"{child.name} keeps ending (exit code {child.exit_code}). "
            f"Its log is {child.log} and ends with:\n{child.log_tail()}"
        )
        self.name = child.name
        self.code = child.exit_code


@dataclass(slots=True)
class Restarts:
    """When something was started again."""

    moments: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_RESTARTS))

    def allow(self, child: ChildProcess) -> None:
        """Note that *child* is about to be started again.

        Raises:
            KeepsEndingError: It was too often.
        """
        now = time.monotonic()
        if len(self.moments) == MOST_RESTARTS and now - self.moments[0] < RESTARTS_WITHIN_SECONDS:
            raise KeepsEndingError(child)
        self.moments.append(now)


@dataclass(slots=True)
class Service:
    """A child and how to tell that it serves."""

    child: ChildProcess
    ready: Ready
    restarts: Restarts = field(default_factory=Restarts)


class Supervisor:
    """Starts services in order, restarts one that ends, stops all in the reverse order.

    Args:
        say: Told of every restart.
    """

    def __init__(self, services: Sequence[Service], *, say: Callable[[str], None]) -> None:
        self._services = services
        self._say = say

    def start(self, within: timedelta) -> None:
        """Start every service and wait until each serves."""
        for service in self._services:
            service.child.start()
        for service in self._services:
            service.child.wait_ready(service.ready, within)

    def watch(self) -> None:
        """Start again whatever ended since the last look.

        Raises:
            KeepsEndingError: One did so too often.
        """
        for service in self._services:
            if service.child.alive:
                continue
            service.restarts.allow(service.child)
            self._say(
                f"{service.child.name} ended with exit code {service.child.exit_code}; starting it again"
            )
            service.child.start()

    def stop(self) -> None:
        """Ask all to end at once, so that together they take no longer than the slowest."""
        children = [service.child for service in reversed(self._services)]
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop(STOP_WITHIN)
