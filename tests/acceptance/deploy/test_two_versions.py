"""An upgrade while jobs run: the schema, then workers and beats one by one; nothing is lost or done twice.

The former version is the last commit before revision 0009, unpacked beside this one: its workers, beat and
its submissions meet the new schema, and messages of each version are run by the other.
"""

import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from config.settings import ROOT
from models.organization import Tenant, load_tenant
from models.session import Database, open_database
from ops.process import ChildProcess
from ops.schema import upgrade
from ops.stack import Stack, settings_from
from tests.support import outcome
from tests.support.clone import empty_database
from tests.support.kinds import INCLUDE, LEAVE_CAMPAIGN, Leave
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher
from worker.submit import Submission, submit

FIRST_OF_THIS_VERSION = "migrations/versions/0009_resources.py"
LAST_OF_THE_FORMER = "0008"
JOBS = 80
"""In each of the phases: before, and by either version during the upgrade."""
MOST_JOBS = 11 * JOBS

SUBMIT = """
import sys
from uuid import UUID
from config.settings import get_settings
from models.organization import Organization, load_tenant
from models.session import open_database, tenant_session
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from worker.submit import Submission, submit
organization_id, first, last = UUID(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
database = open_database(get_settings(), pool_size=1)
if first == 0:
    with tenant_session(database, organization_id) as session:
        session.add(Organization(organization_id=organization_id, name="Acme", plan="enterprise"))
tenant = load_tenant(database, organization_id)
jobs = [Submission(LEAVE_CAMPAIGN, Leave(name=f"job {n}", sleep_ms=10)) for n in range(first, last)]
submit(database, tenant, jobs)
"""


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)  # noqa: S603, S607
    if done.returncode != 0:
        pytest.skip("NO HISTORY: the former version is not in this clone, so the upgrade was not tried")
    return done.stdout


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """The checkout of the former version."""
    introduced = git("rev-list", "HEAD", "--", FIRST_OF_THIS_VERSION).decode().split()[-1]
    files = git("archive", f"{introduced}^")
    with tarfile.open(fileobj=BytesIO(files)) as archive:
        archive.extractall(tmp_path / "former", filter="data")
    return tmp_path / "former"


@pytest.fixture
def environment(stack: Stack, redis_url: str) -> Iterator[dict[str, str]]:
    """Of a database at the former version's last revision."""
    with empty_database(stack) as urls:
        environment = stack.environment() | urls.environment() | {"GENIUS_REDIS_URL": redis_url}
        upgrade(settings_from(environment), LAST_OF_THE_FORMER)
        yield environment | {"GENIUS_RELAY_INTERVAL": "0.5"}


def submit_by_the_former(former: Path, environment: Mapping[str, str], tenant: UUID, *numbers: int) -> None:
    subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", SUBMIT, str(tenant), *map(str, numbers)],
        cwd=former,
        env={"PATH": "/usr/bin:/bin", **environment},
        check=True,
        timeout=60,
    )


def ran(worker: ChildProcess) -> int:
    return worker.log.read_bytes().count(b"job succeeded")


def test_workers_of_two_versions_share_the_work_and_lose_nothing(
    former: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    identity = uuid7()
    with ExitStack() as exits:
        theirs = Services(tmp_path / "theirs", environment, exits, checkout=former)
        ours = Services(tmp_path / "ours", environment, exits)
        old_worker = theirs.worker(options=INCLUDE)
        old_beat = theirs.beat()
        submit_by_the_former(former, environment, identity, 0, JOBS)
        wait_until(lambda: ran(old_worker) > 0, 60)

        upgrade(settings_from(environment))
        database = open_database(settings_from(environment), pool_size=2)
        exits.callback(database.engine.dispose)
        tenant = load_tenant(database, identity)
        assert tenant is not None
        new_worker = ours.worker(options=INCLUDE)
        ours.beat()
        total, before = JOBS, ran(old_worker)

        def both_ran() -> bool:
            return ran(new_worker) > JOBS // 4 and ran(old_worker) > before

        while not both_ran():  # once, unless one of them came to nothing before the other had done it all
            assert total < MOST_JOBS, "the former version runs on the new schema, and ours beside it"
            submit_by_the_former(former, environment, identity, total, total + JOBS)
            submit_by_us(database, tenant, environment, range(total + JOBS, total + 2 * JOBS))
            total += 2 * JOBS
            wait_until(lambda: both_ran() or outcome.all_ended(database, [tenant]), 60)
        for old in (old_beat, old_worker):
            old.ask_to_stop()
        wait_until(lambda: outcome.all_ended(database, [tenant]), 60)

        assert outcome.states(database, tenant) == Counter(succeeded=total)
        assert outcome.campaigns_left(database, tenant) == Counter({f"job {n}": 1 for n in range(total)})
        assert outcome.successes(database, tenant) == Counter({1: total})
        assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}
        assert outcome.ledger(database, tenant) == total
        for worker in (old_worker, new_worker):
            assert b"Traceback" not in worker.log.read_bytes()


def submit_by_us(database: Database, tenant: Tenant, environment: Mapping[str, str], numbers: range) -> None:
    jobs = [Submission(LEAVE_CAMPAIGN, Leave(name=f"job {n}", sleep_ms=10)) for n in numbers]
    submit(database, tenant, jobs, publisher=Publisher(settings_from(environment)))
