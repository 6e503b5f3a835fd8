"""A real Bluesky server, and accounts of tenants on it."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from config.settings import get_settings
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import PlatformName, SocialAccount
from tasks.social_posting.account import store_tokens
from tasks.social_posting.platform import Tokens
from tasks.vault import make_vault
from tests.pds.server import Owner, Server, missing, running


@pytest.fixture(scope="session")
def node() -> None:
    """Leave the test out where node is missing; where all tests must run, fail."""
    reason = missing()
    if reason is not None and os.environ.get("CI"):
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def pds(node: None, test_directory: Path) -> Iterator[Server]:
    """A server without rate limits, which the tests of a process share."""
    with running(test_directory / "pds") as server:
        yield server


@pytest.fixture
def start_pds(node: None, test_directory: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of this test's own: ``start_pds(PDS_RATE_LIMITS_ENABLED="1")``."""
    started = []

    def start(**settings: str) -> Server:
        directory = test_directory / f"pds-{uuid7()}"
        manager = running(directory, **settings)
        started.append((manager, directory))
        return manager.__enter__()

    yield start
    for manager, directory in started:
        manager.__exit__(None, None, None)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def connect(database: Database) -> Callable[[Tenant, Server, Owner], SocialAccount]:
    """Store an account of the server with its tokens, as connecting it does."""

    def connect(tenant: Tenant, server: Server, owner: Owner) -> SocialAccount:
        row = SocialAccount(
            organization_id=tenant.organization_id,
            platform=PlatformName.BLUESKY,
            handle=owner.handle,
            remote_id=owner.did,
            server_url=server.url,
        )
        with tenant_session(database, tenant.organization_id) as session:
            session.add(row)
            session.flush()
            expires_at = datetime.now(UTC) + timedelta(hours=2)
            store_tokens(make_vault(get_settings()), row, Tokens(owner.access, owner.refresh, expires_at))
        return row

    return connect


@pytest.fixture
def environment(environment: dict[str, str], test_directory: Path) -> dict[str, str]:
    """Keep media in a folder of this process."""
    return environment | {"GENIUS_MEDIA_DIRECTORY": str(test_directory / "media")}
