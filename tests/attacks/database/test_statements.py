"""Injected text reads and writes across tenants in a copy that is broken for it, and never in ours."""

from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from uuid_utils.compat import uuid7

from tests.attacks.ground import SECRET, Ground, forged, got_across, inject, literals, standing
from tests.attacks.script import Script, scripts_in
from tests.support.attack import Raw, Site

HERE = Path(__file__).parent
READING = scripts_in(HERE / "reading.sql")
WRITING = scripts_in(HERE / "writing.sql")


@cache
def parts(site: Site) -> dict[str, Any]:
    return {
        "mine": site.mine,
        "theirs": site.theirs,
        "forged": forged(site),
        "their_lead": site.rows("leads", site.theirs)[0]["id"],
        "their_job": site.rows("jobs", site.theirs)[0]["id"],
        "fresh": uuid7(),
        "mark": f"{SECRET}: there is a row",
        "partition": sql.Identifier(_partition(site)),
    }


def _partition(site: Site) -> str:
    with site.superuser() as connection:
        row = connection.execute("SELECT tableoid::regclass::text AS name FROM analytics_events").fetchone()
    assert row is not None
    return str(row["name"])


def reads_across(site: Site, statements: str) -> bool:
    """Send it in a bound transaction, while a session of the other tenant stands by."""
    with standing(site) as victim, site.raw(bound_to=site.mine) as attacker:
        victim.execute(f"SELECT '{SECRET}'".encode())
        return got_across(inject(attacker, statements, **parts(site)), site)


@pytest.mark.parametrize("name", READING)
def test_reading_works_on_a_broken_copy_and_not_on_ours(ground: Ground, name: str) -> None:
    script = READING[name]

    assert reads_across(ground.site(script.broken), script.statements), "the attack is no attack"
    assert not reads_across(ground.site(), script.statements)


def writes_across(site: Site, script: Script) -> bool:
    """Send it as the application's role, and see as a superuser what became of the other tenant's rows."""
    values = literals(parts(site))
    with site.superuser() as connection:
        before = _answer(connection, script.evidence, values)
        connection.execute("SELECT set_config('role', 'genius_app', true)")
        connection.execute("SELECT app.bind(%s)", [site.database.seal(site.mine)])
        try:
            connection.execute(sql.SQL(script.statements).format(**values))  # type: ignore[arg-type]
        except psycopg.Error:
            connection.rollback()
            return False
        connection.execute("RESET ROLE")
        after = _answer(connection, script.evidence, values)
        connection.rollback()
    return before != after


def _answer(connection: Raw, evidence: str, values: dict[str, sql.Composable]) -> object:
    return connection.execute(sql.SQL(evidence).format(**values)).fetchone()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WRITING)
def test_writing_works_on_a_broken_copy_and_not_on_ours(ground: Ground, name: str) -> None:
    script = WRITING[name]

    assert writes_across(ground.site(script.broken), script), "the attack is no attack"
    assert not writes_across(ground.site(), script)
