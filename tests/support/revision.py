"""What a revision does to a database in use: what it sends, and what the version before still finds."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

LINTER = Path(sys.executable).with_name("squawk")
OLDEST_POSTGRES = "15"
NOT_ABOUT_LOCKS = (
    # The session that migrates has a lock timeout, and an index takes as long as it takes.
    "require-lock-timeout",
    "require-statement-timeout",
    # Alembic's autocommit_block is outside of it; Postgres itself refuses it inside.
    "ban-concurrent-index-creation-in-transaction",
    # `Catalogue.missing_in` knows whether a function that goes comes back as good as it was.
    "ban-drop-function",
    # Matters of taste, settled otherwise here.
    "prefer-robust-stmts",
)

FUNCTIONS = """
SELECT proname,
       (SELECT coalesce(jsonb_object_agg(given.name, format_type(given.type, NULL)), '{}')
        FROM unnest(proargnames[1:pronargs], proargtypes::oid[]) AS given (name, type)) AS takes,
       (SELECT coalesce(array_agg(name), '{}')
        FROM unnest(proargnames[pronargs - pronargdefaults + 1:pronargs]) AS name) AS may_leave_out,
       pg_get_function_result(oid) AS returns
FROM pg_proc
WHERE pronamespace = 'app'::regnamespace AND prokind = 'f' AND (
    has_function_privilege('genius_app', oid, 'EXECUTE')
    OR has_function_privilege('genius_relay', oid, 'EXECUTE'))
"""

COLUMNS = """
SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull AND NOT a.atthasdef AND a.attgenerated = '' AND a.attidentity = '',
       array(SELECT role || ' ' || verb
             FROM unnest(ARRAY['genius_app', 'genius_relay']) AS role,
                  unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS verb
             WHERE has_column_privilege(role, c.oid, a.attnum, verb))
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> 'alembic_version'
"""


@dataclass(frozen=True, slots=True)
class Function:
    """What a caller counts on."""

    name: str
    takes: dict[str, str]
    may_leave_out: frozenset[str]
    returns: str

    def serves_callers_of(self, former: "Function") -> bool:
        """Tell whether whoever called *former* by name may call this, and gets what it can read.

        Callers make objects of whole rows: one column more is one that they do not know.
        """
        known = former.takes.items() <= self.takes.items()
        added = self.takes.keys() - former.takes.keys()
        left_out = former.may_leave_out <= self.may_leave_out
        return known and left_out and added <= self.may_leave_out and former.returns == self.returns


@dataclass(frozen=True, slots=True)
class Column:
    """What a reader or writer counts on."""

    type: str
    required: bool
    rights: frozenset[str]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the two service roles find."""

    functions: list[Function]
    columns: dict[str, Column]

    @classmethod
    def read(cls, url: str) -> "Catalogue":
        """Ask the database."""
        with psycopg.connect(url) as connection:
            functions = [
                Function(name, takes, frozenset(may_leave_out), returns)
                for name, takes, may_leave_out, returns in connection.execute(FUNCTIONS)
            ]
            columns = {
                name: Column(kind, required, frozenset(rights))
                for name, kind, required, rights in connection.execute(COLUMNS)
            }
        return cls(functions, columns)

    def missing_in(self, later: "Catalogue") -> Iterator[str]:
        """Name what a process of this version would miss, or be refused, on the *later* one."""
        for function in self.functions:
            if not any(
                other.name == function.name and other.serves_callers_of(function) for other in later.functions
            ):
                yield f"function {function.name} is not there any more as it was"
        for name, column in self.columns.items():
            there = later.columns.get(name)
            if there is None or there.type != column.type or not column.rights <= there.rights:
                yield f"column {name} is not there any more as it was"
        tables = {name.split(".")[0] for name in self.columns}
        for name, column in later.columns.items():
            if column.required and name not in self.columns and name.split(".")[0] in tables:
                yield f"column {name} is required, and who does not know it leaves it out"


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Keep every statement without parameters that this process sends: all that changes a schema."""
    sent: list[str] = []
    execute = psycopg.Cursor.execute

    def keep(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        if not params:
            sent.append(query.decode() if isinstance(query, bytes) else str(query))
        return execute(cursor, query, params, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", keep)
        yield sent


def dangers(statements: list[str]) -> list[str]:
    """Return what would lock or rewrite a table in use, each as ``rule: statement``."""
    text = "".join(f"{statement.rstrip().rstrip(';')};\n" for statement in statements)
    command: list[str | Path] = [
        LINTER,
        "--assume-in-transaction",
        "--pg-version",
        OLDEST_POSTGRES,
        "--reporter",
        "json",
    ]
    exclude = [part for rule in NOT_ABOUT_LOCKS for part in ("--exclude", rule)]
    done = subprocess.run(  # noqa: S603 - our own program
        [*command, *exclude, "--stdin-filepath", "revision.sql"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = text.splitlines()
    return [f"{found['rule_name']}: {lines[found['line']].strip()}" for found in json.loads(done.stdout)]
