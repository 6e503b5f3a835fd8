"""Fixtures: one stack per test process, one database clone and one Redis database per test."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from uuid_utils.compat import uuid7

from config.settings import ROOT, Settings, get_settings
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, RelayDatabase, open_database, open_relay_database, tenant_session
from ops.stack import PostgresUrls, Stack, settings_from
from tests.support.clone import clone, template_database
from tests.support.queue_store import QueueStore
from tests.support.service import Services
from tests.support.workspace import workspace

SHARED_DATA = ROOT.parent / "shared" / "data"

PLACEHOLDERS = {
    "GENIUS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "GENIUS_REDIS_URL": "redis://127.0.0.1:1/0",
    "GENIUS_JWT_SECRET": "placeholder-" * 4,
    "GENIUS_SEAL_SECRET": "placeholder-" * 4,
    "GENIUS_POINTER_SECRET": "placeholder-" * 4,
    "GENIUS_CREDENTIAL_SECRET": "placeholder-" * 4,
    "GENIUS_ENVIRONMENT": "test",
    "GENIUS_METRICS_AFTER": "0",
}
"""Settings of modules that read them at import: they reach no server, above all none that runs for real."""

GIVEN_ENVIRONMENT = {name: value for name, value in os.environ.items() if PLACEHOLDERS.get(name) != value}
"""What the caller set, such as external servers; a test process inherits its controller's placeholders."""

os.environ.update(PLACEHOLDERS)

# An example may take as long as it likes: a machine that does something else for 0.2 s proves nothing.
hypothesis_settings.register_profile(
    "busy machine",
    parent=hypothesis_settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("busy machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder."""
    for item in items:
        item.add_marker(item.path.relative_to(ROOT / "tests").parts[0])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the processes' logs with a test that failed."""
    report = yield
    services = getattr(item, "funcargs", {}).get("services")
    if report.failed and services is not None:
        report.sections += [(f"log of {child.name}", child.log_tail()) for child in services.started]
    return report


@pytest.fixture(scope="session")
def test_directory(worker_id: str) -> Iterator[Path]:
    with workspace(worker_id) as directory:
        yield directory


@pytest.fixture(scope="session")
def stack(test_directory: Path) -> Iterator[Stack]:
    """Real servers; a test that stops one starts it again."""
    environment = {**GIVEN_ENVIRONMENT, "GENIUS_ENVIRONMENT": "test"}
    with Stack(test_directory / "stack", environ=environment) as stack:
        yield stack


@pytest.fixture(scope="session")
def template(stack: Stack) -> Iterator[str]:
    with template_database(stack) as name:
        yield name


@pytest.fixture
def database_urls(stack: Stack, template: str) -> Iterator[PostgresUrls]:
    """The URLs of this test's own database, which every role may use."""
    with clone(stack, template) as urls:
        yield urls


@pytest.fixture(scope="session")
def queue_store(stack: Stack) -> QueueStore:
    return QueueStore(stack)


@pytest.fixture
def redis_url(queue_store: QueueStore) -> str:
    """An empty Redis database of this test's own."""
    return queue_store.next_url()


@pytest.fixture
def environment(stack: Stack, database_urls: PostgresUrls, redis_url: str) -> dict[str, str]:
    """Every GENIUS_ variable for a child process of this test."""
    # A Redis that answers late would be taken for absent, and the job left to a relay that few tests run.
    patient = {"GENIUS_BROKER_TIMEOUT": "10"}
    return stack.environment() | database_urls.environment() | {"GENIUS_REDIS_URL": redis_url} | patient


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of this test's servers; `get_settings` answers the same."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield settings_from(environment)
    get_settings.cache_clear()


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """This test's database as the application sees it."""
    database = open_database(settings, pool_size=5)
    yield database
    database.engine.dispose()


@pytest.fixture
def relay_database(settings: Settings) -> Iterator[RelayDatabase]:
    """This test's database as the relay sees it: every tenant, few columns."""
    database = open_relay_database(settings)
    yield database
    database.engine.dispose()


@pytest.fixture
def organization(database: Database) -> Callable[..., Tenant]:
    """Make organizations: ``organization(plan="starter", name=..., status="active")``."""

    def make(*, plan: str = "professional", name: str = "Acme", status: str = "active") -> Tenant:
        organization_id = uuid7()
        with tenant_session(database, organization_id) as session:
            session.add(Organization(organization_id=organization_id, name=name, plan=plan, status=status))
        tenant = load_tenant(database, organization_id)
        assert tenant is not None
        return tenant

    return make


@pytest.fixture
def services(test_directory: Path, environment: dict[str, str]) -> Iterator[Services]:
    """Start real worker, beat and intake processes; they end with the test."""
    directory = test_directory / f"services-{uuid7()}"
    with ExitStack() as exits:
        yield Services(directory, environment, exits)


@pytest.fixture
def worker_process(services: Services) -> Callable[..., object]:
    """Start a worker: see `Services.worker`."""
    return services.worker


@pytest.fixture
def intake_process(services: Services) -> Callable[..., object]:
    """Start an intake: see `Services.intake`."""
    return services.intake


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files beside the checkout; a test that needs it is left out where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data is not beside the checkout ({SHARED_DATA})")
    return SHARED_DATA
