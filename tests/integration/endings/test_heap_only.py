"""The life of a job moves no index entry of `jobs`: every update of its row stays on its page."""

from collections.abc import Callable

import psycopg
import pytest

from ops.stack import PostgresUrls
from tests.integration.endings.steps import Endings, leave
from tests.support.table_counts import counting

JOBS = 100
UPDATES = """
SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
WHERE relid = 'public.jobs'::regclass
"""


@pytest.fixture
def updates(database_urls: PostgresUrls, endings: Endings) -> Callable[[], tuple[int, int]]:
    """Count the updates of `jobs` so far, and those that stayed heap-only."""

    def count() -> tuple[int, int]:
        with counting(database_urls, endings.database.engine) as connection:
            row = connection.execute(UPDATES).fetchone()
        assert row is not None
        return row

    return count


def live(endings: Endings, run: Callable[..., None]) -> None:
    """Let jobs be submitted, run and succeed."""
    for job in endings.submit(*(leave(str(n)) for n in range(JOBS))):
        run(job.id)


def test_the_updates_of_a_life_are_heap_only(
    endings: Endings, run: Callable[..., None], updates: Callable[[], tuple[int, int]]
) -> None:
    live(endings, run)
    updated, heap_only = updates()
    assert updated >= JOBS
    assert heap_only >= 0.98 * updated


def test_an_index_on_the_state_would_be_noticed(
    endings: Endings,
    run: Callable[..., None],
    updates: Callable[[], tuple[int, int]],
    database_urls: PostgresUrls,
) -> None:
    with psycopg.connect(database_urls.superuser_url or "") as connection:
        connection.execute("CREATE INDEX ON jobs (organization_id) WHERE state = 'queued'")
    live(endings, run)
    updated, heap_only = updates()
    assert heap_only < 0.5 * updated
