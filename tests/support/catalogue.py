"""The audit of the catalogue."""

from pathlib import Path
from typing import Any

import psycopg

DEFECTS = Path(__file__).with_suffix(".sql").read_bytes()


def defects(connection: psycopg.Connection[dict[str, Any]]) -> list[str]:
    """Return what would let one tenant reach another, one sentence each."""
    return [row["defect"] for row in connection.execute(DEFECTS)]
