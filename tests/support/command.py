"""Run the `genius` command as a person would, in an environment that says only what a test says."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from config.settings import ROOT
from ops.stack_secrets import read_variables

GENIUS = [sys.executable, "-c", "from ops.cli import app; app()"]


def without_settings() -> dict[str, str]:
    """Return an environment that names no server and no secret."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GENIUS_")}


def genius(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [*GENIUS, *arguments],
        cwd=ROOT,
        env={**without_settings(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Up:
    """A `genius up --json` that runs, with data in a directory of its own."""

    said: dict[str, str]
    """What `addresses` returned, for tests that share it."""

    def __init__(self, directory: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            [*GENIUS, "up", "--json", "--directory", str(directory), *options],
            cwd=ROOT,
            env={**without_settings(), **(environment or {})},
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it if the test did not; all it started ends with it."""
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def addresses(self) -> dict[str, str]:
        """Wait until it says that it is ready; return what it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"genius up ended with {self.process.wait(30)}"
        return dict(json.loads(line))

    def environment(self) -> dict[str, str]:
        """Return the settings that it wrote for other shells."""
        return read_variables(self.directory / "stack.env")

    def end(self, number: int) -> int:
        """Send it a signal and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)
