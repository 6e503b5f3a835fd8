"""A backup, taken while jobs wait and run, comes back in an empty server: whole, confined; its jobs end."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, open_database, tenant_session
from ops.backup.inspection import differences
from ops.backup.restore import examine
from ops.stack import PostgresUrls, Stack, settings_from
from tests.support import outcome
from tests.support.in_process import genius
from tests.support.kinds import INCLUDE, LEAVE_CAMPAIGN, Leave
from tests.support.rows import fill
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.claim import claim
from worker.pointer import make_pointer
from worker.publish import Publisher
from worker.submit import Submission, submit

JOBS = 20
RUNNING = 5
"""Of each organization's jobs: claimed when the backup is made, by somebody whom the disaster takes."""

SUPERUSER = "GENIUS_SUPERUSER_DATABASE_URL"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"GENIUS_LEASE_TIME": "2"}


@pytest.fixture
def tenants(database: Database, settings: Settings, organization: Callable[..., Tenant]) -> list[Tenant]:
    """Two organizations with jobs that wait and run; a third has a row in every table."""
    third = uuid7()
    with tenant_session(database, third) as session:
        fill(session, third)
    made = [organization(plan="enterprise", name=name) for name in ("Acme", "Bolt")]
    for tenant in made:
        jobs = [Submission(LEAVE_CAMPAIGN, Leave(name=f"job {number}")) for number in range(JOBS)]
        recorded = submit(database, tenant, jobs, publisher=Publisher(settings))
        pointers = [
            make_pointer(
                tenant.organization_id, job.id, kind=LEAVE_CAMPAIGN.name, attempts_made=0, due_at=None
            )
            for job in recorded[:RUNNING]
        ]
        assert all(claim(database, pointers))
    return made


@pytest.fixture
def given(environment: dict[str, str], stack: Stack) -> dict[str, str]:
    """What an operator's shell holds."""
    return environment | {SUPERUSER: stack.postgres.superuser_url or ""}


@pytest.fixture
def backup(tenants: list[Tenant], given: dict[str, str], tmp_path: Path) -> Path:
    assert tenants
    done = genius("backup", str(tmp_path / "backup"), environment=given)
    assert done.exit_code == 0, done.stderr
    return tmp_path / "backup"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Other servers, empty, with roles' passwords and keys of their own."""
    with Stack(tmp_path_factory.mktemp("elsewhere"), environ={}) as stack:
        yield stack


@pytest.fixture
def there(elsewhere: Stack, given: Mapping[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    """The shell of whoever restores: of what was lost only the master key of the tokens was kept."""
    name = f"restored_{abs(hash(request.node.name)) % 10**8}"
    urls = elsewhere.postgres_urls(name)
    kept = {name: given[name] for name in ("GENIUS_CREDENTIAL_SECRET", "GENIUS_LEASE_TIME")}
    superuser = {SUPERUSER: elsewhere.postgres.superuser_url or "", "GENIUS_RELAY_INTERVAL": "0.5"}
    return elsewhere.environment() | urls.environment() | kept | superuser


def in_superusers_eyes(environment: Mapping[str, str]) -> str:
    database = environment["GENIUS_DATABASE_URL"].rpartition("/")[2]
    return f"{environment[SUPERUSER].rpartition('/')[0]}/{database}"


def test_everything_comes_back_and_every_accepted_job_ends(
    backup: Path, tenants: list[Tenant], there: dict[str, str], tmp_path: Path
) -> None:
    done = genius("restore", str(backup), environment=there)
    assert done.exit_code == 0, done.stdout + done.stderr
    assert [line[:2] for line in done.stdout.splitlines()][:3] == ["ok"] * 3

    database = open_database(settings_from(there), pool_size=2)
    with ExitStack() as exits:
        exits.callback(database.engine.dispose)
        assert outcome.states(database, tenants[0]) == Counter(running=RUNNING, queued=JOBS - RUNNING)
        services = Services(tmp_path / "services", there, exits)
        services.beat()
        services.worker(options=INCLUDE)
        wait_until(lambda: outcome.all_ended(database, tenants), 60)
        for tenant in tenants:
            assert outcome.states(database, tenant) == Counter(succeeded=JOBS)
            assert outcome.campaigns_left(database, tenant) == Counter(
                {f"job {number}": 1 for number in range(JOBS)}
            )
            assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}
            assert outcome.ledger(database, tenant) == JOBS

    url, settings = in_superusers_eyes(there), settings_from(there)
    assert all(finding.holds for finding in examine(url, settings))
    spoil(url, tenants[0])
    confined, audits = examine(url, settings)
    assert confined.trouble == ["campaigns", "leads"]
    assert audits.trouble == [f"{tenants[0].organization_id}: entry 1"]


def spoil(url: str, tenant: Tenant) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE leads NO FORCE ROW LEVEL SECURITY")
        connection.execute("DROP POLICY tenant_floor ON campaigns")
        forge = "UPDATE audit_log SET actor = 'nobody' WHERE organization_id = %s AND position = 1"
        assert connection.execute(forge, [tenant.organization_id]).rowcount == 1


def test_a_table_with_other_rows_than_the_backup_is_named() -> None:
    wanted = {"public.jobs": 41, "public.leads": 1, "public.users": 2}
    found = {"public.jobs": 40, "public.leads": 1, "public.spare": 0}
    assert differences(wanted, found) == [
        "public.jobs: 40 rows instead of 41",
        "public.spare: 0 rows instead of no table",
        "public.users: missing rows instead of 2",
    ]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda backup, _: (backup / "manifest.json").unlink(), "holds no whole backup"),
        (
            lambda _, there: there.update(GENIUS_CREDENTIAL_SECRET="another secret " * 3),
            "another GENIUS_CREDENTIAL_SECRET",
        ),
    ],
)
def test_what_could_not_be_used_is_refused_before_anything_is_touched(
    backup: Path,
    there: dict[str, str],
    spoil: Callable[[Path, dict[str, str]], object],
    complaint: str,
) -> None:
    spoil(backup, there)
    done = genius("restore", str(backup), environment=there)
    assert done.exit_code == 1
    assert complaint in done.stderr
    with psycopg.connect(there[SUPERUSER]) as connection:
        name = in_superusers_eyes(there).rpartition("/")[2]
        assert not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()


def test_nothing_is_restored_over_what_is_there(backup: Path, given: dict[str, str]) -> None:
    done = genius("restore", str(backup), environment=given)
    assert done.exit_code == 1
    assert "is not empty" in done.stderr


def test_a_role_that_policies_bind_makes_no_empty_backup(
    environment: dict[str, str], database_urls: PostgresUrls, tmp_path: Path
) -> None:
    bound = environment | {SUPERUSER: database_urls.owner_url or ""}
    done = genius("backup", str(tmp_path / "backup"), environment=bound)
    assert done.exit_code == 1
    assert "bound by row-level security" in done.stderr
