"""Many organizations with work, one of them noisy, for whoever looks at them."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

from models.organization import Organization, Tenant, load_tenant
from models.session import Database, tenant_session
from tasks.catalog import ACCOUNT_QUOTA, ROLLUP, SCORE_LEADS
from tasks.payloads import AccountQuota, Rollup, ScoreLeads
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from worker.publish import Publisher
from worker.submit import Submission, submit
from worker.terms import change_organization, set_pause

DEAD_EACH = 4
PLANS = ("starter",) * 7 + ("professional",) * 2 + ("enterprise",)
NOISY = "Loud Lemon"
HOSTILE = "<script>alert(1)</script> & Söhne"
SECRET = "only-the-organization-may-read-this"
"""Stands in payloads, so that it can be looked for elsewhere."""
FIRST_WORDS = ("Amber", "Birch", "Cobalt", "Delta", "Ember", "Fern", "Granite", "Harbor", "Indigo", "Juniper")
SECOND_WORDS = ("Labs", "Works", "Media", "Studio", "Retail", "Travel", "Foods", "Health", "Energy", "Bank")


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who there is."""

    noisy: Tenant
    hostile: Tenant
    paused: Tenant
    dying: tuple[Tenant, ...]
    """Those whose jobs die."""
    others: tuple[Tenant, ...]


def make_organization(database: Database, name: str, plan: str) -> Tenant:
    organization_id: UUID = uuid7()
    with tenant_session(database, organization_id) as session:
        session.add(Organization(organization_id=organization_id, name=name, plan=plan))
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    return tenant


def gather(
    database: Database,
    publisher: Publisher,
    *,
    tenants: int,
    noise: int,
    each: int = 0,
    progress: Callable[[str], None],
) -> Crowd:
    """Make the organizations and submit their jobs; nothing of it needs a worker."""
    special = (NOISY, HOSTILE, "Paused Partners", "Broken Bolts", "Crashing Cars")
    names = [*special, *(_name(number) for number in range(tenants - len(special)))]
    made = [make_organization(database, name, _plan(number)) for number, name in enumerate(names)]
    progress(f"{len(made)} organizations")
    noisy, hostile, paused, *rest = made
    crowd = Crowd(noisy, hostile, paused, tuple(rest[:2]), tuple(rest[2:]))
    for tenant in crowd.dying:
        submit(database, tenant, _dying(DEAD_EACH), publisher=publisher)
    submit(database, noisy, _leaving(noise, sleep_ms=40), publisher=publisher)
    change_organization(
        database, publisher, paused.organization_id, set_pause(None, paused=True), actor="operator:cleo"
    )
    for number, tenant in enumerate((hostile, paused, *crowd.others)):
        submit(
            database,
            tenant,
            [_mixed(number), *_leaving(each + 1 + number % 3, sleep_ms=25)],
            publisher=publisher,
        )
    progress("all submitted")
    return crowd


def make_noise(database: Database, publisher: Publisher, crowd: Crowd) -> None:
    """Let the noisy one have most waiting again, however much of it was worked off meanwhile."""
    submit(database, crowd.noisy, _leaving(80, sleep_ms=1_000), publisher=publisher)


def _name(number: int) -> str:
    first, second = divmod(number, len(SECOND_WORDS))
    name = f"{FIRST_WORDS[first % len(FIRST_WORDS)]} {SECOND_WORDS[second]}"
    return f"{name} {number // 100 + 1}" if number >= len(FIRST_WORDS) * len(SECOND_WORDS) else name


def _plan(number: int) -> str:
    return PLANS[number % len(PLANS)]


def _leaving(count: int, *, sleep_ms: int) -> list[Submission]:
    return [
        Submission(LEAVE_CAMPAIGN, Leave(name=f"{SECRET} {number}", sleep_ms=sleep_ms))
        for number in range(count)
    ]


def _dying(count: int) -> list[Submission]:
    doomed = Leave(name=SECRET, failures=99, permanent=True)
    return [Submission(LEAVE_CAMPAIGN, doomed) for _ in range(count)]


def _mixed(number: int) -> Submission:
    kinds = (
        Submission(ROLLUP, Rollup()),
        Submission(ACCOUNT_QUOTA, AccountQuota()),
        Submission(SCORE_LEADS, ScoreLeads(all=True, limit=5)),
    )
    return kinds[number % len(kinds)]
