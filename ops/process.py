"""One child process: logs to a file, dies with its parent, stops when told."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil

from ops.error import OperatorError

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_TAIL_LINES = 15
LONGEST_LOG_LINE = 500

Ready = Callable[[], bool]


def launch_command(
    command: Sequence[str | Path], *, user: str | None = None, orphan_signal: signal.Signals = signal.SIGTERM
) -> list[str]:
    """Return the command line that runs *command* as *user* and ends it when this process dies."""
    program, *arguments = (str(part) for part in command)
    return [
        *(sys.executable, "-I", "-S", str(LAUNCHER)),
        *(str(os.getpid()), str(int(orphan_signal)), user or "-"),
        *(shutil.which(program) or program, *arguments),
    ]


class ProcessEndedError(OperatorError):
    """A child ended before it was ready; carries its name, exit code and the end of its log."""

    def __init__(self, name: str, code: int | None, log: str) -> None:
        super().__init__(f"{name} ended with exit code {code}; its log ends with:\n{log}")
        self.name = name
        self.code = code
        self.log = log


class NotReadyError(OperatorError):
    """A child runs but did not become ready in time; carries its name and the end of its log."""

    def __init__(self, name: str, log: str) -> None:
        super().__init__(f"{name} did not become ready in time; its log ends with:\n{log}")
        self.name = name
        self.log = log


class ChildProcess:
    """A program that runs in a session of its own, so that Ctrl-C reaches only its parent.

    The kernel ends it when the *thread* that called `start` dies: start it from one that lasts.

    Args:
        user: ``uid:gid`` to run as, None for the caller's.
        stop_signal: Asks the program to end in good order.
        orphan_signal: Sent when the parent dies; None is `stop_signal`.
        environment: The whole environment; None is the caller's.
    """

    def __init__(  # noqa: PLR0913 - what a process is made of
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals | None = None,
        directory: Path | None = None,
    ) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.environment = environment
        self.user = user
        self.stop_signal = stop_signal
        self.orphan_signal = orphan_signal or stop_signal
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._created = 0.0
        self._log_start = 0
        self._asked = False

    @property
    def pid(self) -> int:
        """The process id; only of a started child."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs or before it was started; negative is the signal that ended it."""
        return None if self._process is None else self._process.poll()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the program; it is not necessarily ready when this returns."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._asked = False
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own program and arguments
                launch_command(self.command, user=self.user, orphan_signal=self.orphan_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if self.environment is None else dict(self.environment),
                cwd=self.directory,
                start_new_session=True,
            )
        with suppress(psutil.NoSuchProcess):  # it may have ended already
            self._created = psutil.Process(self.pid).create_time()

    def ask_to_stop(self) -> None:
        """Send the stop signal, once: to many programs a second one means at once."""
        if self._process is not None and self.alive and not self._asked:
            self._process.send_signal(self.stop_signal)
            self._asked = True

    def stop(self, within: timedelta = timedelta(seconds=20)) -> None:
        """Ask it to end; after *within* end it and all it started."""
        family = self._family()
        self.ask_to_stop()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(within.total_seconds())
        self._end(family)

    def kill(self) -> None:
        """End it and all it started at once, as a power cut would."""
        self._end(self._family())

    def log_tail(self) -> str:
        """Return the last lines that it logged since its last start."""
        if not self.log.exists():
            return ""
        lines = self.fresh_log().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join(line[:LONGEST_LOG_LINE] for line in lines)

    def fresh_log(self) -> bytes:
        """Return what it has logged since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read()

    def wait_ready(self, ready: Ready, within: timedelta) -> None:
        """Wait until *ready* answers true.

        Raises:
            ProcessEndedError: It ended first.
            NotReadyError: It still was not after *within*.
        """
        deadline = time.monotonic() + within.total_seconds()
        while not ready():
            if not self.alive:
                raise ProcessEndedError(self.name, self.exit_code, self.log_tail())
            if time.monotonic() > deadline:
                raise NotReadyError(self.name, self.log_tail())
            time.sleep(0.02)

    def _family(self) -> list[psutil.Process]:
        """Find what runs in the session that it leads, also when it died before its own children."""
        if self._process is None:
            return []
        members = [process for process in psutil.process_iter() if _session(process.pid) == self.pid]
        leader = next((process for process in members if process.pid == self.pid), None)
        if leader is not None and leader.create_time() != self._created:
            return []  # a stranger has been given its number since
        return members

    def _end(self, family: Sequence[psutil.Process]) -> None:
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait()
        psutil.wait_procs(family, timeout=5)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
