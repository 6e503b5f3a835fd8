"""The catalogue holds nothing that lets one tenant reach another; what would is planted, to see it found."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from ops.isolation.catalogue import SERVER_VERSION, audit_catalogue, audit_version, rules
from ops.stack import PostgresUrls, Stack
from tests.support.attack import Raw
from tests.support.clone import clone

PLAIN = """
CREATE TABLE public.bad (
    organization_id uuid NOT NULL, id uuid, name text, PRIMARY KEY (organization_id, id))
"""
PROTECTED = f"{PLAIN}; SELECT app.protect('public.bad')"
PLANTED = Path(__file__).with_name("planted_defects.sql").read_text().split("\n\n")[1:]


@pytest.fixture(scope="module")
def urls(stack: Stack, template: str) -> Iterator[PostgresUrls]:
    with clone(stack, template) as urls:
        yield urls


@pytest.fixture
def planting(urls: PostgresUrls) -> Iterator[Raw]:
    """A transaction in which to spoil the catalogue, as a migration would; it is rolled back."""
    assert urls.superuser_url is not None
    with psycopg.connect(urls.superuser_url, row_factory=dict_row) as connection:
        connection.execute("SET LOCAL ROLE genius_owner")
        yield connection
        connection.rollback()


def plant(connection: Raw, statements: str) -> None:
    made = statements.format(plain=PLAIN, protected=PROTECTED, database=connection.info.dbname)
    connection.execute(made.encode())


def heading(paragraph: str) -> tuple[set[str], str]:
    """Return the rules that must find a planted defect, and the object they must name."""
    names, _, subject = paragraph.removeprefix("-- ").partition("\n")[0].partition(": ")
    return set(names.split()), subject


def test_the_catalogue_is_clean(planting: Raw) -> None:
    assert audit_catalogue(planting) == []


@pytest.mark.parametrize("paragraph", PLANTED, ids=range(len(PLANTED)))
def test_a_planted_defect_is_found_by_its_rule_alone(planting: Raw, paragraph: str) -> None:
    plant(planting, paragraph)

    names, subject = heading(paragraph)
    found = audit_catalogue(planting)
    assert {finding.rule for finding in found} == names, found
    assert subject in {finding.object for finding in found}
    assert all(finding.fix and "<object>" not in finding.fix for finding in found)


def test_every_rule_has_a_defect_that_it_alone_finds() -> None:
    alone = [names for names, _ in map(heading, PLANTED) if len(names) == 1]

    assert {rule.name for rule in rules()} == set().union(*alone)


def test_a_table_made_the_right_way_is_clean(planting: Raw) -> None:
    plant(planting, "{protected}")

    assert audit_catalogue(planting) == []


@pytest.mark.parametrize("version", [140_020, 150_013, 160_009, 170_005])
def test_a_server_that_leaks_past_policies_is_found(version: int) -> None:
    assert [finding.rule for finding in audit_version(version)] == [SERVER_VERSION]


@pytest.mark.parametrize("version", [150_014, 160_010, 170_006, 180_000])
def test_a_server_with_the_fixes_is_not(version: int) -> None:
    assert audit_version(version) == []
