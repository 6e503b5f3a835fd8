"""A process that takes quota and then does nothing, until it is killed.

Its arguments are an organization and a moment: it says ``held`` once it has reserved, ``inside`` the
transaction or ``after`` it has committed.
"""

import signal
import sys
from datetime import timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from models.organization import load_tenant
from models.quota import Quota
from models.session import get_database, tenant_session

LASTS = timedelta(seconds=2)
HOLDS = 4


def main(organization_id: UUID, when: str) -> None:
    """Hold, say so, and wait for the end."""
    database = get_database()
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    with tenant_session(database, organization_id) as session:
        Quota(session, tenant).reserve("posts_month", HOLDS, holder=uuid7(), lasts=LASTS)
        if when == "inside":
            wait_for_the_end()
    wait_for_the_end()


def wait_for_the_end() -> None:
    """Say that quota is held, and wait."""
    print("held", flush=True)  # noqa: T201 - the test waits for it
    signal.pause()


if __name__ == "__main__":
    main(UUID(sys.argv[1]), sys.argv[2])
