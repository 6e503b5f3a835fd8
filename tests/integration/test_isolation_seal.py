"""Only a seal made with the secret binds a session, only for a while, and only to the tenant it names."""

import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from models.seal import Sealer, verification_key
from ops.stack import Stack
from tests.support.attack import Site, bind, two_tenants
from tests.support.wait import wait_until

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def site(stack: Stack, template: str) -> Iterator[Site]:
    with two_tenants(stack, template) as site:
        yield site


def bound_tenant(site: Site, seal: str) -> UUID:
    """Return for whom the database takes a session with this seal."""
    with site.raw() as connection:
        bind(connection, seal)
        row = connection.execute("SELECT app.sealed_tenant() AS tenant").fetchone()
        assert row is not None
        return UUID(str(row["tenant"]))


def test_a_seal_binds_to_the_tenant_it_names(site: Site) -> None:
    assert bound_tenant(site, site.database.seal(site.mine)) == site.mine


def _forgeries(site: Site) -> dict[str, str]:
    real = site.database.seal(site.mine)
    organization, expiry, signature = real.split(".")
    other = site.database.seal(site.theirs).split(".")[2]
    flipped = ("1" if signature[0] == "0" else "0") + signature[1:]
    return {
        "of another secret": Sealer(b"guess" * 8).mint(site.mine, MINUTE),
        "of an empty secret": Sealer(b"").mint(site.mine, MINUTE),
        "organization swapped": f"{site.theirs}.{expiry}.{signature}",
        "signature swapped": f"{organization}.{expiry}.{other}",
        "expiry put off": f"{organization}.{int(expiry) + 3600}.{signature}",
        "one digit changed": f"{organization}.{expiry}.{flipped}",
        "signature missing": f"{organization}.{expiry}.",
        "signature in capitals": f"{organization}.{expiry}.{signature.upper()}",
        "signature doubled": f"{real}{signature}",
        "something before it": f" {real}",
        "something after it": f"{real} ",
        "organization in capitals": f"{organization.upper()}.{expiry}.{signature}",
        "another alphabet": "é" * 200,
        "quotes": "'; SELECT 1 --",
    }


def test_a_forged_seal_binds_to_nothing(site: Site) -> None:
    for forgery, seal in _forgeries(site).items():
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="forged"):
            pytest.fail(f"{forgery}: bound to {bound_tenant(site, seal)}")


def test_an_expired_seal_binds_to_nothing(site: Site) -> None:
    expired = site.database.sealer.mint(site.mine, timedelta(seconds=-2))

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="expired"):
        bound_tenant(site, expired)


def test_a_transaction_outlasts_its_seal_but_the_next_one_does_not_begin_with_it(site: Site) -> None:
    with site.raw() as connection:
        connection.execute("SELECT 1")  # begins it: however long we take from here, it began in time
        brief = site.database.sealer.mint(site.mine, timedelta(seconds=1))
        bind(connection, brief)
        assert connection.execute("SELECT FROM leads").rowcount == 1
        wait_until(lambda: time.time() > int(brief.split(".")[1]) + 1)
        assert connection.execute("SELECT FROM leads").rowcount == 1

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="expired"):
        bound_tenant(site, brief)


def test_a_binding_ends_with_its_transaction(site: Site) -> None:
    with site.raw(bound_to=site.mine) as connection:
        connection.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no tenant is bound"):
            connection.execute("SELECT FROM leads")


def test_a_new_secret_leaves_the_old_one_a_day_and_no_longer(site: Site) -> None:
    old, new = Sealer(uuid7().bytes * 2), Sealer(uuid7().bytes * 2)
    for sealer in (old, new):
        _install(site, sealer)
    assert bound_tenant(site, old.mint(site.mine, MINUTE)) == site.mine
    assert bound_tenant(site, new.mint(site.mine, MINUTE)) == site.mine

    with site.superuser() as connection:
        connection.execute("UPDATE app.seal_keys SET valid_until = valid_until - interval '1 day 1 second'")
    assert bound_tenant(site, new.mint(site.mine, MINUTE)) == site.mine
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="forged"):
        bound_tenant(site, old.mint(site.mine, MINUTE))

    _install(site, site.database.sealer)  # this module's other tests go on with it
    with site.superuser() as connection:
        assert connection.execute("SELECT FROM app.seal_keys").rowcount == 2, "the lapsed key is gone"


def _install(site: Site, sealer: Sealer) -> None:
    key = verification_key(sealer.secret)
    with site.superuser() as connection:
        connection.execute("SELECT app.install_seal_key(%s, %s)", (key.inner, key.outer))
