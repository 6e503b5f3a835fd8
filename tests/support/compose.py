"""The compose file as Docker reads it, and what makes a process of one of its services."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from config.settings import ROOT, Settings

COMPOSE_FILE = ROOT / "docker-compose.yml"
IMAGE = "marketing-genius"

SETTINGS = frozenset(f"GENIUS_{name.upper()}" for name in Settings.model_fields)
REQUIRED = frozenset(
    f"GENIUS_{name.upper()}" for name, field in Settings.model_fields.items() if field.is_required()
)
BESIDE_SETTINGS = frozenset({"GENIUS_SECRETS_DIRECTORY", "GENIUS_SUPERUSER_DATABASE_URL"})
"""Variables that processes read and that are no settings."""

PRIVILEGED = frozenset({"GENIUS_OWNER_DATABASE_URL", "GENIUS_SUPERUSER_DATABASE_URL"})
VARIABLE = re.compile(r"GENIUS_[A-Z_]*[A-Z]")


def compose() -> dict[str, Any]:
    """Read the file; merges and anchors are resolved."""
    read: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
    return read


def ours(services: dict[str, Any]) -> dict[str, Any]:
    """Return the services that run our image."""
    return {name: service for name, service in services.items() if service["image"].startswith(IMAGE)}


def lanes_of(commands: Iterable[list[str]]) -> list[str]:
    """Return the lanes that workers with these commands serve."""
    served = [command[command.index("-Q") + 1] for command in commands if "-Q" in command]
    return [lane for lanes in served for lane in lanes.split(",")]


def made_secrets(directory: Path) -> dict[str, str]:
    """Make the secrets as an operator does; return them by file name."""
    script: list[str | Path] = ["/bin/sh", ROOT / "deploy" / "secrets.sh", directory]
    subprocess.run(script, check=True, capture_output=True)  # noqa: S603 - our own script
    return {file.name: file.read_text() for file in directory.iterdir()}


def strings(value: Any) -> Iterator[str]:
    """Return every key and text within *value*."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield str(name)
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)
    else:
        yield str(value)
