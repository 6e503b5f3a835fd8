"""Attempts that are nothing but text, read from annotated SQL files."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Script:
    """What an injection sends, the copy on which it gets across, and a query that shows that it wrote."""

    name: str
    broken: str
    statements: str
    evidence: str


def scripts_in(file: Path) -> dict[str, Script]:
    """Return the attempts of a file by name."""
    return {script.name: script for script in map(_read, file.read_text().split("-- attempt: ")[1:])}


def _read(part: str) -> Script:
    name, _, rest = part.partition("\n")
    notes = dict(re.findall(r"^-- (broken|evidence): (.*)$", rest, re.MULTILINE))
    statements = "\n".join(line for line in rest.splitlines() if not line.startswith("-- "))
    return Script(name, notes["broken"], statements.strip(), notes.get("evidence", ""))
