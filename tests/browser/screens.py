"""Take pictures of Flower and our pages under a live mixed load, and time them.

Run it as ``python -m tests.browser.screens [--tenants 200] [--pictures docs/img]``: it starts servers of its
own, a worker, beat and Flower, and stops them. With 1,000 tenants it tells whether Flower stays responsive.
"""

import logging
import os
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import httpx
import psutil
import structlog
import typer
from playwright.sync_api import Page

from models.history import list_jobs
from models.job import JobState
from models.session import open_database, tenant_session
from ops.stack import Stack
from tests.browser.chromium import launched, take, visiting
from tests.support.crowd import Crowd, gather
from tests.support.flower import OPERATOR, USERS, Flower
from tests.support.kinds import INCLUDE
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher

TIMES: Final = 10
SETTLED_S: Final = 25.0
"""Long enough for shares to be told."""
MB: Final = 1024 * 1024


def main(
    tenants: Annotated[int, typer.Option(help="Organizations.")] = 200,
    noise: Annotated[int, typer.Option(help="Jobs of the noisy one.")] = 6_000,
    each: Annotated[int, typer.Option(help="Jobs of each other.")] = 25,
    pictures: Annotated[Path | None, typer.Option(help="Folder for the pictures; none: only times.")] = None,
) -> None:
    """Run everything, look at it, and print how long each page took."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with TemporaryDirectory(prefix="genius-screens-") as name, ExitStack() as exits:
        directory = Path(name)
        stack = exits.enter_context(Stack(directory / "stack", environ={"GENIUS_ENVIRONMENT": "test"}))
        stack.migrate()
        settings = stack.settings()
        environment = {**stack.environment(), "GENIUS_FLOWER_USERS": USERS}
        os.environ.update(environment)  # submitting reads the settings of its process
        services = Services(directory, environment, exits)
        flower = Flower(directory, {**os.environ, **environment})
        exits.callback(flower.process.kill)
        flower.start()
        database = open_database(settings, pool_size=2)
        crowd = gather(
            database, Publisher(settings), tenants=tenants, noise=noise, each=each, progress=typer.echo
        )
        services.worker(pool="threads", concurrency=8, options=INCLUDE)
        services.beat()
        time.sleep(SETTLED_S)
        with tenant_session(database, crowd.noisy.organization_id) as session:
            [job] = list_jobs(session, ("id",), state=JobState.QUEUED, kind=None, before=None, limit=1)
        database.engine.dispose()
        addresses = addresses_of(crowd, str(job.id))
        measure(flower, addresses)
        if pictures is not None:
            photograph(flower, addresses, pictures)


def addresses_of(crowd: Crowd, job: str) -> dict[str, str]:
    """Return the pages worth a look."""
    return {
        "workers": "/",
        "tasks": "/tasks",
        "lanes": "/broker",
        "tenants": "/tenants",
        "tenant": f"/tenants/{crowd.noisy.organization_id}",
        "why": f"/jobs/{crowd.noisy.organization_id}/{job}",
        "dead-letters": "/deadletters",
    }


def measure(flower: Flower, addresses: dict[str, str]) -> None:
    """Print how long each page takes while jobs run, and how large Flower is."""
    typer.echo(f"{'page':<14}{'median ms':>10}{'worst ms':>10}{'kB':>8}")
    with flower.client(OPERATOR) as client:
        for name, path in {**addresses, "api-tasks": "/api/tasks?limit=100", "metrics": "/metrics"}.items():
            answers = [timed(client, path) for _ in range(TIMES)]
            spent = [seconds * 1000 for seconds, _ in answers]
            typer.echo(
                f"{name:<14}{statistics.median(spent):>10.0f}{max(spent):>10.0f}{answers[0][1] / 1024:>8.0f}"
            )
    typer.echo(f"Flower has {psutil.Process(flower.process.pid).memory_info().rss / MB:.0f} MB")


def timed(client: httpx.Client, path: str) -> tuple[float, int]:
    began = time.perf_counter()
    answer = client.get(path)
    answer.raise_for_status()
    return time.perf_counter() - began, len(answer.content)


def photograph(flower: Flower, addresses: dict[str, str], pictures: Path) -> None:
    """Take a picture of each page."""
    pictures.mkdir(parents=True, exist_ok=True)
    with launched() as browser, visiting(browser, flower.url, OPERATOR) as page:
        for name, path in addresses.items():
            page.goto(path, wait_until="load")
            wait_until(lambda: settled(page), 60)
            take(page, pictures / f"flower-{name}.png")
            typer.echo(f"{name}: {page.title()}")


def settled(page: Page) -> bool:
    """Tell whether Flower's own tables have been filled."""
    if page.locator("#tasks-table, #workers-table").count() == 0:
        return True
    return page.locator("#tasks-table tbody a, #workers-table tbody a").count() > 0


if __name__ == "__main__":
    typer.run(main)
