"""The rules over a live database: each is a query in ``rules/*.sql`` that answers what breaks it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from migrations.server import UnsupportedServerError, refuse_unsafe
from ops.isolation.finding import Finding

RULES = Path(__file__).parent / "rules"
SHARED = "shared.sql"
SERVER_VERSION = "server-version"


@dataclass(frozen=True, slots=True)
class Rule:
    """A query whose rows (object, found) are findings, and how to mend one, naming ``<object>``."""

    name: str
    fix: str
    query: str


@cache
def rules() -> tuple[Rule, ...]:
    """Return every rule, in the order of the files."""
    files = sorted(file for file in RULES.glob("*.sql") if file.name != SHARED)
    return tuple(rule for file in files for rule in _rules_in(file.read_text()))


def _rules_in(text: str) -> Iterator[Rule]:
    for part in text.split("-- rule: ")[1:]:
        name, fix, query = part.split("\n", 2)
        yield Rule(name, fix.removeprefix("-- fix: "), query.strip().removesuffix(";"))


def audit_catalogue(connection: psycopg.Connection[Any]) -> list[Finding]:
    """Return what in the database that *connection* is to could let one tenant reach another.

    Any role may ask: the catalogue is open to all. The connection stays in its transaction.
    """
    fixes = {rule.name: rule.fix for rule in rules()}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_statement()).fetchall()
    found = [Finding(**row, fix=fixes[row["rule"]].replace("<object>", row["object"])) for row in rows]
    return [*audit_version(connection.info.server_version), *found]


@cache
def _statement() -> bytes:
    """Return one statement for all rules, so that what they share is computed once."""
    queries = (f"SELECT '{rule.name}' AS rule, x.* FROM ({rule.query}) AS x" for rule in rules())  # noqa: S608 (our own files)
    shared = (RULES / SHARED).read_text()
    return f"{shared}\n{' UNION ALL '.join(queries)}\nORDER BY 1, 2, 3".encode()


def audit_version(version: int) -> Sequence[Finding]:
    """Return a finding for a server (``server_version_num``) that leaks past policies."""
    try:
        refuse_unsafe(version)
    except UnsupportedServerError as error:
        return [Finding(SERVER_VERSION, "server", str(error), f"Upgrade Postgres to {error.needed}.")]
    return []
