"""The catalogue holds nothing that lets one tenant reach another; what would is planted, to see it found."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from ops.stack import PostgresUrls, Stack
from tests.support.attack import Raw
from tests.support.catalogue import defects
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


def test_the_catalogue_is_clean(planting: Raw) -> None:
    assert defects(planting) == []


@pytest.mark.parametrize("paragraph", PLANTED, ids=range(len(PLANTED)))
def test_a_planted_defect_is_found(planting: Raw, paragraph: str) -> None:
    sentence, _, statements = paragraph.removeprefix("-- ").partition("\n")
    plant(planting, statements)

    found = defects(planting)
    assert any(sentence in defect for defect in found), found


def test_a_table_made_the_right_way_is_clean(planting: Raw) -> None:
    plant(planting, "{protected}")

    assert defects(planting) == []
