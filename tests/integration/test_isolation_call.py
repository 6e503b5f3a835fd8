"""`call` runs one SQL function for a tenant and hands its arguments over as they are."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from models.session import call
from ops.stack import Stack
from tests.support.attack import Site, two_tenants

ECHO = """
CREATE FUNCTION app.echo(
    seal text, OUT tenant uuid, INOUT document jsonb DEFAULT NULL, INOUT documents jsonb[] DEFAULT NULL,
    INOUT names text[] DEFAULT NULL, INOUT ids uuid[] DEFAULT NULL, INOUT numbers integer[] DEFAULT NULL,
    INOUT moments timestamptz[] DEFAULT NULL, INOUT name text DEFAULT NULL, INOUT number bigint DEFAULT NULL,
    INOUT flag boolean DEFAULT NULL, INOUT lease interval DEFAULT NULL
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant_seal', seal, true);
    tenant := app.sealed_tenant();
END $$;
GRANT EXECUTE ON FUNCTION app.echo TO genius_app
"""


class Colour(StrEnum):
    GREEN = "green"


class Size(Enum):
    LARGE = "large"


@pytest.fixture(scope="module")
def site(stack: Stack, template: str) -> Iterator[Site]:
    with two_tenants(stack, template) as site:
        with site.superuser() as connection:
            connection.execute(ECHO)
        yield site


MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
ID = uuid7()
ARGUMENTS: list[tuple[str, Any, Any]] = [
    ("document", {"a": [1, "é", None]}, {"a": [1, "é", None]}),
    ("document", [{"a": 1}, {"b": ID}], [{"a": 1}, {"b": str(ID)}]),
    ("document", Jsonb([1, 2]), [1, 2]),
    ("document", {}, {}),
    ("documents", [Jsonb({"a": 1}), Jsonb([])], [{"a": 1}, []]),
    ("names", ["a", None, 'qu"o,te'], ["a", None, 'qu"o,te']),
    (
        "names",
        ["NULL", "", "back\\slash", "{a,b}", " \n", "'; DROP"],
        ["NULL", "", "back\\slash", "{a,b}", " \n", "'; DROP"],
    ),
    ("documents", [Jsonb({"a": 'qu"o\\te'}), None], [{"a": 'qu"o\\te'}, None]),
    ("names", [], []),
    ("names", [Colour.GREEN, None], ["green", None]),
    ("names", [Size.LARGE], ["large"]),
    ("ids", [ID], [ID]),
    ("numbers", [1, 70_000, None], [1, 70_000, None]),
    ("moments", [None, MOMENT], [None, MOMENT]),
    ("name", Colour.GREEN, "green"),
    ("name", Size.LARGE, "large"),
    ("name", "'; DROP TABLE leads; --", "'; DROP TABLE leads; --"),
    ("lease", timedelta(minutes=1), timedelta(minutes=1)),
    ("number", 1, 1),
    ("number", 2**40, 2**40),
    ("flag", True, True),
    ("name", None, None),
]


@pytest.mark.parametrize(("name", "value", "arrives"), ARGUMENTS)
def test_an_argument_arrives_as_it_is(site: Site, name: str, value: Any, arrives: Any) -> None:
    for _ in range(7):  # the sixth is a prepared statement
        [row] = call(site.database, site.mine, "echo", **{name: value})

    assert row["tenant"] == site.mine
    assert row[name] == arrives


def test_a_call_is_bound_to_its_tenant_only_while_it_runs(site: Site) -> None:
    for organization_id in (site.mine, site.theirs, site.mine):
        [row] = call(site.database, organization_id, "echo")
        assert row["tenant"] == organization_id

    connection = site.database.engine.raw_connection()
    driver = connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no tenant is bound"):
        driver.execute("SELECT FROM leads")
    connection.close()


@pytest.mark.parametrize("name", ['echo"; DROP TABLE leads; --', "no_such_function"])
def test_a_name_is_only_ever_a_name(site: Site, name: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedFunction):
        call(site.database, site.mine, name)
    with pytest.raises(psycopg.errors.UndefinedFunction):
        call(site.database, site.mine, "echo", **{name: 1})


def test_what_a_failed_call_did_is_undone_and_the_connection_goes_on(site: Site) -> None:
    with pytest.raises(psycopg.errors.UntranslatableCharacter):
        call(site.database, site.mine, "echo", document={"nul": "\x00"})

    assert call(site.database, site.mine, "echo")[0]["tenant"] == site.mine
