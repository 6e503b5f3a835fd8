"""A person who is named in every column of every table is named in none after their erasure."""

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from uuid_utils.compat import uuid7

from models.organization import Tenant, load_tenant
from models.privacy import PrivacyRequest, RequestState
from models.session import Database, tenant_session
from ops.stack import PostgresUrls
from tasks.privacy.person import Subject
from tests.integration.privacy.search import COLUMNS, in_tables
from tests.support.rows import fill

LEA = "lea.quxwort@mail.example"
PLANTED = {
    "text": "'so %(word)s wrote ' || gen_random_uuid()",
    "jsonb": "jsonb_build_object('a', jsonb_build_array('by %(word)s', 1), '%(word)s', 'x')",
    "text[]": "ARRAY['other', '%(word)s']",
}
MEANS_SOMETHING = {
    ("organizations", "time_zone"): "names a zone",
    ("organizations", "region"): "never changes",
    ("analytics_watermarks", "time_zone"): "names a zone",
    ("content_assets", "storage_key"): "made of ids",
    ("audit_log", "action"): "in the chain, made of the names of tables",
    ("audit_log", "actor"): "in the chain, a pseudonym",
    ("audit_log", "subject"): "in the chain, a pseudonym",
    ("audit_log", "detail"): "in the chain, of columns that can name nobody",
}
"""Columns in which no word of a person can stand, and why; beside those whose values a CHECK names."""


def plant(superuser_url: str, organization_id: UUID, word: str) -> set[tuple[str, str]]:
    """Write *word* into every column that takes it; return them."""
    planted = set()
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        for table, column, kind in connection.execute(COLUMNS).fetchall():
            if kind not in PLANTED or (table, column) in MEANS_SOMETHING or "." in table:
                continue
            value = sql.SQL(PLANTED[kind] % {"word": word})
            statement = sql.SQL("UPDATE {} SET {} = {} WHERE organization_id = {}").format(
                sql.Identifier(table), sql.Identifier(column), value, sql.Literal(organization_id)
            )
            try:
                done = connection.execute(statement)
            except (psycopg.errors.CheckViolation, psycopg.errors.InsufficientPrivilege):
                continue
            if done.rowcount:
                planted.add((table, column))
    return planted


@pytest.fixture
def acme(database: Database) -> Tenant:
    """An organization with a row in every table."""
    organization_id = uuid7()
    with tenant_session(database, organization_id, actor="ann") as session:
        fill(session, organization_id)
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    return tenant


def test_whoever_is_named_in_every_column_is_named_in_none_after_the_erasure(
    acme: Tenant,
    database: Database,
    database_urls: PostgresUrls,
    erased: Callable[[Tenant, Subject], UUID],
) -> None:
    assert database_urls.superuser_url is not None
    planted = plant(database_urls.superuser_url, acme.organization_id, LEA)
    assert len(planted) > 100
    found = set(in_tables(database_urls.superuser_url, [LEA]))
    assert found == {f"{table}.{column}" for table, column in planted}, "the search finds what is planted"

    request_id = erased(acme, Subject(email=LEA))

    assert in_tables(database_urls.superuser_url, [LEA]) == []
    with tenant_session(database, acme.organization_id) as session:
        request = session.get_one(PrivacyRequest, (acme.organization_id, request_id))
        assert request.state == RequestState.SUCCEEDED
        assert request.outcome is not None
        assert request.outcome["texts"]["found"] == 0
