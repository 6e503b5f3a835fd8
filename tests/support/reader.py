"""Somebody who types what a page of the documentation says."""

import subprocess
from collections.abc import Mapping
from string import Template

from tests.support.in_process import genius
from tests.support.manual import Command


class Reader:
    """Knows what the lines before assigned to variables.

    Args:
        environment: Of the system that runs.
        api: Where its interface is, which the pages call $API.
    """

    def __init__(self, environment: Mapping[str, str], api: str) -> None:
        self._environment = environment
        self.variables = {"API": api}

    def type(self, command: Command) -> None:
        """Run one line; it must end well."""
        program, *words = (Template(word).safe_substitute(self.variables) for word in command.words)
        said = self._genius(words) if program == "genius" else self._run(program, words)
        if command.assigned_to:
            self.variables[command.assigned_to] = said.strip()

    def _genius(self, words: list[str]) -> str:
        done = genius(*words, environment=self._environment)
        assert done.exit_code == 0, f"genius {words}: {done.output}"
        return done.stdout

    def _run(self, program: str, words: list[str]) -> str:
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == 0, f"{program} {words}: {done.stderr}"
        return done.stdout
