"""Seals that were not made for the attacker bind to nothing, whatever Postgres can be told to believe."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import timedelta

import pytest

from models.seal import Sealer
from tests.attacks.ground import Ground, forged, got_across, inject
from tests.support.attack import Raw, Site

READ = "SELECT set_config('app.tenant_seal', {seal}, true); SELECT company FROM leads"

SHADOW = """
CREATE FUNCTION public.sha256(bytea) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN RETURN 'x'::bytea; END $$;
SET LOCAL search_path = public, pg_catalog;
SELECT set_config('app.tenant_seal', {seal}, true);
SELECT company FROM leads
"""


def a_seal_with_another_signature(site: Site, connection: Raw) -> str:
    return inject(connection, READ, seal=forged(site))


def a_seal_that_has_expired(site: Site, connection: Raw) -> str:
    return inject(connection, READ, seal=site.database.sealer.mint(site.theirs, timedelta(seconds=-60)))


def a_seal_of_a_key_that_was_read(site: Site, connection: Raw) -> str:
    said = inject(connection, "SELECT encode(inner_key, 'hex'), encode(outer_key, 'hex') FROM app.seal_keys")
    if "Error" in said or "denied" in said:
        return said
    row = connection.execute("SELECT inner_key, outer_key FROM app.seal_keys").fetchone()
    assert row is not None
    body = f"{site.theirs}.{9_999_999_999}"
    inner = hashlib.sha256(row["inner_key"] + body.encode()).digest()
    signature = hashlib.sha256(row["outer_key"] + inner).hexdigest()
    return inject(connection, READ, seal=f"{body}.{signature}")


def a_function_of_the_same_name_before_the_one_that_verifies(site: Site, connection: Raw) -> str:
    return inject(connection, SHADOW, seal=f"{site.theirs}.{9_999_999_999}.{'0' * 64}")


def a_seal_of_the_default_secret(site: Site, connection: Raw) -> str:
    guesses = [Sealer(guess).mint(site.theirs, timedelta(hours=1)) for guess in (b"", b"secret", b"genius")]
    return "".join(inject(connection, READ, seal=guess) for guess in guesses)


def the_setting_that_keeps_what_was_verified(site: Site, connection: Raw) -> str:
    keep = "SELECT set_config({name}, {kept}, true); SELECT company FROM leads"
    names = ("app.kept", "backtrace_functions")
    return "".join(inject(connection, keep, name=name, kept=site.theirs.hex) for name in names)


ATTEMPTS: list[tuple[Callable[[Site, Raw], str], str]] = [
    (a_seal_with_another_signature, "plain setting"),
    (a_seal_that_has_expired, "seals never expire"),
    (a_seal_of_a_key_that_was_read, "readable key"),
    (a_function_of_the_same_name_before_the_one_that_verifies, "loose search path"),
    (a_seal_of_the_default_secret, "plain setting"),
    (the_setting_that_keeps_what_was_verified, "a memory that all may write"),
]


@pytest.mark.parametrize(("attempt", "broken"), ATTEMPTS)
def test_a_forgery_works_on_a_broken_copy_and_not_on_ours(
    ground: Ground, attempt: Callable[[Site, Raw], str], broken: str
) -> None:
    for site, works in ((ground.site(broken), True), (ground.site(), False)):
        with site.raw() as connection:
            assert got_across(attempt(site, connection), site) is works


def test_the_signatures_of_this_file_are_those_that_our_own_secret_makes(ground: Ground) -> None:
    site = ground.site()
    body, _, signature = site.database.seal(site.theirs).rpartition(".")

    assert hmac.digest(site.database.sealer.secret, body.encode(), "sha256").hex() == signature
