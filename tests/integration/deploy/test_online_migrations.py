"""Every revision from 0009 on meets a database in use: it must neither stop nor break what runs there.

`docs/upgrade.md` has the rules: expand, migrate, contract.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic.script import ScriptDirectory

from config.settings import Settings
from ops.schema import alembic_config, current_revision, head_revision, upgrade
from ops.stack import PostgresUrls, Stack, settings_from
from tests.support.clone import empty_database
from tests.support.revision import Catalogue, Function, dangers, recorded
from tests.support.wait import wait_until

LAST_BEFORE_USE = "0008"

ACCEPTED: dict[str, str] = {}
"""What a revision may do all the same, as ``revision rule: statement``, with the reason."""

WAITS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def fresh(stack: Stack) -> Iterator[PostgresUrls]:
    with empty_database(stack) as urls:
        yield urls


@pytest.fixture
def settings(stack: Stack, fresh: PostgresUrls) -> Settings:
    return settings_from(stack.environment() | fresh.environment())


def revisions(settings: Settings) -> list[str]:
    script = ScriptDirectory.from_config(alembic_config(settings))
    walked = [each.revision for each in script.iterate_revisions("head", LAST_BEFORE_USE)]
    return list(reversed(walked))


def test_no_revision_locks_a_table_in_use_or_takes_away_what_the_version_before_needs(
    settings: Settings, fresh: PostgresUrls
) -> None:
    assert fresh.superuser_url is not None
    upgrade(settings, LAST_BEFORE_USE)
    before = Catalogue.read(fresh.superuser_url)
    trouble = []
    for revision in revisions(settings):
        with recorded() as sent:
            upgrade(settings, revision)
        after = Catalogue.read(fresh.superuser_url)
        trouble += [f"{revision} {danger}" for danger in dangers(sent)]
        trouble += [f"{revision} {loss}" for loss in before.missing_in(after)]
        before = after
    assert [each for each in trouble if each not in ACCEPTED] == []
    assert set(ACCEPTED) <= set(trouble), "an exception that nothing needs any more"


def test_who_uses_tables_in_any_order_is_not_ended_by_a_migration(
    settings: Settings, fresh: PostgresUrls
) -> None:
    assert fresh.superuser_url is not None
    upgrade(settings, "0009")
    with (
        ThreadPoolExecutor() as pool,
        psycopg.connect(fresh.superuser_url, autocommit=True) as watcher,
        psycopg.connect(fresh.superuser_url) as user,
    ):
        user.execute("LOCK TABLE campaigns IN ROW EXCLUSIVE MODE")
        migration = pool.submit(upgrade, settings)
        wait_until(lambda: watcher.execute(WAITS).fetchone() is not None, 60)
        user.execute("SELECT FROM organizations")
        user.execute("LOCK TABLE audit_log, jobs IN ROW EXCLUSIVE MODE")
        user.commit()
        migration.result(30)
    assert current_revision(settings) == head_revision(settings)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("CREATE INDEX ix ON jobs (kind)", "require-concurrent-index-creation"),
        ("ALTER TABLE jobs ADD COLUMN colour text NOT NULL", "adding-required-field"),
        ("ALTER TABLE jobs ADD COLUMN drawn uuid DEFAULT gen_random_uuid()", "adding-field-with-default"),
        ("ALTER TABLE jobs ALTER COLUMN priority TYPE bigint", "changing-column-type"),
        ("ALTER TABLE jobs ALTER COLUMN kind SET NOT NULL", "adding-not-nullable-field"),
        ("ALTER TABLE jobs ADD CONSTRAINT c CHECK (priority > 0)", "constraint-missing-not-valid"),
        ("ALTER TABLE jobs ADD CONSTRAINT u UNIQUE (kind)", "disallowed-unique-constraint"),
        ("ALTER TABLE jobs RENAME COLUMN kind TO sort", "renaming-column"),
        ("ALTER TABLE jobs DROP COLUMN kind", "ban-drop-column"),
        ("DROP TABLE jobs", "ban-drop-table"),
    ],
)
def test_a_dangerous_statement_is_refused(statement: str, rule: str) -> None:
    assert rule in [danger.partition(":")[0] for danger in dangers([statement])]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE fresh (id uuid NOT NULL); CREATE INDEX ix ON fresh (id)",
        "ALTER TABLE jobs ADD COLUMN colour text",
        "ALTER TABLE jobs ADD COLUMN colour text NOT NULL DEFAULT 'red'",
        "ALTER TABLE jobs ADD CONSTRAINT c CHECK (priority > 0) NOT VALID",
    ],
)
def test_what_a_database_in_use_does_not_feel_is_let_through(statement: str) -> None:
    assert dangers([statement]) == []


def test_what_is_taken_away_is_named(settings: Settings, fresh: PostgresUrls) -> None:
    assert fresh.superuser_url is not None
    upgrade(settings, LAST_BEFORE_USE)
    before = Catalogue.read(fresh.superuser_url)
    with psycopg.connect(fresh.superuser_url) as connection:
        connection.execute("DROP FUNCTION app.load_tenant(text)")
        connection.execute("ALTER TABLE leads DROP COLUMN external_id CASCADE")
        connection.execute("ALTER TABLE leads ADD COLUMN colour text NOT NULL")
        connection.execute("REVOKE UPDATE (attributes) ON leads FROM genius_app")
    assert sorted(before.missing_in(Catalogue.read(fresh.superuser_url))) == [
        "column leads.attributes is not there any more as it was",
        "column leads.colour is required, and who does not know it leaves it out",
        "column leads.external_id is not there any more as it was",
        "function load_tenant is not there any more as it was",
    ]


@pytest.mark.parametrize(
    ("later", "serves"),
    [
        (Function("f", {"a": "text", "b": "text"}, frozenset({"b"}), "TABLE(x uuid)"), True),
        (Function("f", {"a": "text", "b": "text"}, frozenset(), "TABLE(x uuid)"), False),
        (Function("f", {"a": "uuid"}, frozenset(), "TABLE(x uuid)"), False),
        (Function("f", {"a": "text"}, frozenset(), "TABLE(x uuid, y text)"), False),
    ],
)
def test_a_function_may_take_more_but_answers_the_same(later: Function, *, serves: bool) -> None:
    former = Function("f", {"a": "text"}, frozenset(), "TABLE(x uuid)")
    assert later.serves_callers_of(former) is serves
