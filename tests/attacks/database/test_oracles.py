"""Whether something is refused, and how long that takes, tells nothing of another tenant's rows."""

from collections.abc import Callable
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from tests.attacks.ground import SECRET, Ground, inject, standing
from tests.support.attack import Site

KEYS = "keys that span tenants"


def ask(site: Site, statement: str, **parts: Any) -> str:
    """Return how an attempt ends, without the values that were sent."""
    with site.raw(bound_to=site.mine) as connection:
        said = inject(connection, statement, mine=site.mine, **parts)
    for value in (*parts.values(), *map(str, parts.values())):
        said = said.replace(str(value), "?")
    return said.split("DETAIL")[0]


def an_address_that_another_tenant_has(site: Site) -> bool:
    add = "INSERT INTO users (organization_id, email, email_norm) VALUES ({mine}, 'x', {guess})"
    return ask(site, add, guess=SECRET) != ask(site, add, guess="nobody has this")


def an_address_left_out_on_conflict(site: Site) -> bool:
    add = (
        "INSERT INTO users (organization_id, email, email_norm) VALUES ({mine}, 'x', {guess})"
        " ON CONFLICT DO NOTHING"
    )
    return ask(site, add, guess=SECRET) != ask(site, add, guess="nobody has this")


def a_key_of_idempotency_that_another_tenant_used(site: Site) -> bool:
    add = (
        "INSERT INTO idempotency_keys (organization_id, key, fingerprint, job_id)"
        " VALUES ({mine}, {guess}, 'f', {job})"
    )
    job = uuid7()
    return ask(site, add, guess=str(site.theirs), job=job) != ask(site, add, guess=str(uuid7()), job=job)


def an_id_that_another_tenant_has(site: Site) -> bool:
    refer = (
        "INSERT INTO content_assets (organization_id, kind, title, campaign_id)"
        " VALUES ({mine}, 'text', 'x', {guess})"
    )
    theirs = site.rows("campaigns", site.theirs)[0]["id"]
    return ask(site, refer, guess=theirs) != ask(site, refer, guess=uuid7())


def a_change_that_waits_for_another_tenants_transaction(site: Site) -> bool:
    """An insert of what another transaction has just inserted waits, if one key covers both."""
    add = "INSERT INTO users (organization_id, email, email_norm) VALUES ({mine}, 'x', 'just now')"
    with standing(site) as victim, site.raw(bound_to=site.mine) as attacker:
        inject(victim, add, mine=site.theirs)
        return "LockNotAvailable" in inject(
            attacker, f"SET LOCAL lock_timeout = '50ms'; {add}", mine=site.mine
        )


def an_error_that_depends_on_another_tenants_row(site: Site) -> bool:
    ask_for = "SELECT 1 / (CASE WHEN company = {guess} THEN 0 ELSE 1 END) FROM leads"
    return ask(site, ask_for, guess=SECRET).startswith("DivisionByZero")


def a_plan_that_counts_another_tenants_rows(site: Site) -> bool:
    explain = (
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) SELECT FROM leads WHERE company = {guess}"
    )
    return "rows=6" in ask(site, explain, guess=SECRET)


def a_lock_that_another_tenant_holds(site: Site) -> bool:
    look = "SELECT count(*) FROM leads WHERE company = {guess}; SELECT FROM leads FOR UPDATE SKIP LOCKED"
    with standing(site) as victim:
        before = ask(site, look, guess=SECRET)
        victim.execute("SELECT FROM leads FOR UPDATE")
        return ask(site, look, guess=SECRET) != before


ATTEMPTS: list[tuple[Callable[[Site], bool], str]] = [
    (an_address_that_another_tenant_has, KEYS),
    (an_address_left_out_on_conflict, KEYS),
    (a_key_of_idempotency_that_another_tenant_used, KEYS),
    (an_id_that_another_tenant_has, KEYS),
    (a_change_that_waits_for_another_tenants_transaction, KEYS),
    (an_error_that_depends_on_another_tenants_row, "no policies"),
    (a_plan_that_counts_another_tenants_rows, "no policies"),
    (a_lock_that_another_tenant_holds, "no policies"),
]


@pytest.mark.parametrize(("attempt", "broken"), ATTEMPTS)
def test_an_oracle_answers_on_a_broken_copy_and_not_on_ours(
    ground: Ground, attempt: Callable[[Site], bool], broken: str
) -> None:
    assert attempt(ground.site(broken)), "the attack is no attack"
    assert not attempt(ground.site())
