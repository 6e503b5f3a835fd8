"""What tests of passes need that run beside others: enough of both, and passes that see all there is."""

from collections.abc import Callable, Iterator

from sqlalchemy import text

from models.organization import Tenant
from models.session import Database, tenant_session
from tests.support.wait import wait_until

LATER = (
    "SELECT NOT EXISTS (SELECT FROM analytics_events WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()))"
)


def rounds(fewest: int, *, until: Callable[[], bool]) -> Iterator[int]:
    """Count rounds of work until there were *fewest*, and whoever runs beside it has done what it should.

    On a busy machine the other may not have had its turn yet; one that is dead gets none however long.
    """
    for number in range(100 * fewest):
        if number >= fewest and until():
            return
        yield number


def settle(database: Database, tenant: Tenant) -> None:
    """Wait until a pass counts every event that is there.

    It counts what is older than the oldest transaction that runs on the server: autovacuum's may be one.
    """

    def settled() -> bool:
        with tenant_session(database, tenant.organization_id) as session:
            return bool(session.scalars(text(LATER)).one())

    wait_until(settled, message="no older transaction runs")
