"""A thousand tenants' traffic: how many series it makes, whether memory grows, whether Flower stays quick.

Every tenant submits jobs and reads; every operation of the API is asked by somebody, rightly or not. Run it
as ``python benchmarks/cardinality.py [--tenants 1000] [--jobs 12000] [--seconds 100]``; an hour is
``--jobs 60000 --seconds 3600``.
"""

import argparse
import os
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import psutil
from rich.console import Console
from rich.table import Table
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.organization import Organization, Tenant, load_tenant
from models.session import open_database, tenant_session
from ops.port import free_port
from ops.stack import Stack, settings_from
from ops.supervisor import Service, Supervisor
from ops.system import EVENTS, System
from ops.token import mint_token

PLANS = ("starter", "starter", "professional", "enterprise")
CLIENTS = 4
WATCHED = ("intake", "worker", "pool", "beat", "flower")
PAGES = ("workers", "tasks", "broker", "tenants", "deadletters")
"""Of Flower and ours in it."""
BATCH = 6
EVERY_S = 5.0
TOKEN = "cardinality-" * 4
KINDS = ({"kind": "analytics.rollup", "payload": {}}, {"kind": "leads.score", "payload": {"all": True}})
READS = ("/jobs?limit=5", "/leads?limit=5", "/usage", "/campaigns", "/schedules")


@dataclass(slots=True)
class Look:
    """What one look at the system found."""

    at: float
    series: Mapping[str, int]
    megabytes: Mapping[str, float]
    pages_s: Mapping[str, float]
    """How long each page of Flower's took."""
    answered: int


@dataclass(slots=True)
class Traffic:
    """What clients have done."""

    answered: int = 0
    jobs: int = 0
    statuses: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: httpx.Response, jobs: int = 0) -> None:
        with self.lock:
            self.answered += 1
            self.jobs += jobs if answer.is_success else 0
            self.statuses.add(answer.status_code)


def make_tenants(settings: Settings, count: int) -> list[str]:
    """Make organizations; return the header of a token of each."""
    database = open_database(settings)

    def make(plan: str) -> str:
        organization_id = uuid7()
        with tenant_session(database, organization_id) as session:
            session.add(
                Organization(organization_id=organization_id, name="Bench", plan=plan, status="active")
            )
        tenant: Tenant | None = load_tenant(database, organization_id)
        assert tenant is not None
        return f"Bearer {mint_token(settings, tenant)}"

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, [plan for plan, _ in zip(cycle(PLANS), range(count), strict=False)]))
    database.engine.dispose()
    return made


@contextmanager
def running(services: Sequence[Service]) -> Iterator[None]:
    """Run processes until the block ends."""
    supervisor = Supervisor(services, say=print)
    try:
        supervisor.start(timedelta(seconds=60))
        yield
    finally:
        supervisor.stop()


def ask_everything(client: httpx.Client, traffic: Traffic, header: str) -> None:
    """Ask for every operation there is, with an id of nothing and a body that is wrong."""
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        url = re.sub(r"\{[^}]+\}", str(uuid7()), path)
        for method in operations:
            if method in {"get", "post", "put", "patch", "delete"} and "delete" not in path:
                body = {} if method in {"post", "put", "patch"} else None
                traffic.note(client.request(method, url, json=body, headers={"Authorization": header}))
                traffic.note(client.request(method, url))


def get_usage(client: httpx.Client, header: str) -> httpx.Response:
    """Ask as a tenant."""
    return client.get("/api/v1/usage", headers={"Authorization": header})


def visit(client: httpx.Client, traffic: Traffic, headers: Sequence[str], *, jobs: int, until: float) -> None:
    """Submit and read for tenants in turn, at an even pace."""
    shuffled = random.sample(headers, len(headers))
    batches = max(jobs // BATCH, 1)
    pause = (until - time.monotonic()) / batches
    for n in range(batches):
        began = time.monotonic()
        header = {"Authorization": shuffled[n % len(shuffled)]}
        wanted = [KINDS[(n + k) % len(KINDS)] for k in range(BATCH)]
        traffic.note(client.post("/api/v1/jobs/batch", json={"jobs": wanted}, headers=header), BATCH)
        for read in random.sample(READS, 2):
            traffic.note(client.get(f"/api/v1{read}", headers=header))
        if time.monotonic() > until:
            return
        time.sleep(max(pause - (time.monotonic() - began), 0))


def look(urls: Mapping[str, str], services: Mapping[str, Service], flower: str, traffic: Traffic) -> Look:
    """Count series and memory, and turn Flower's pages."""
    exposed = {
        name: httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20).raise_for_status().text
        for name, url in urls.items()
    }
    series = {
        name: sum(1 for line in text.splitlines() if line and not line.startswith("#"))
        for name, text in exposed.items()
    }
    megabytes = {}
    for name, service in services.items():
        own = psutil.Process(service.child.pid)
        megabytes[name] = memory(own)
        if name == "worker":
            megabytes["pool"] = sum(memory(child) for child in own.children(recursive=True))
    pages = {page: timed(f"{flower}/{page}") for page in PAGES}
    return Look(time.monotonic(), series, megabytes, pages, traffic.answered)


def timed(url: str) -> float:
    """Return how many seconds a page takes."""
    began = time.monotonic()
    httpx.get(url, timeout=20).raise_for_status()
    return time.monotonic() - began


def memory(process: psutil.Process) -> float:
    """Return the megabytes of a process that it shares with no other."""
    return float(process.memory_full_info().uss) / 2**20


def run(*, tenants: int, jobs: int, seconds: float) -> tuple[list[Look], Traffic]:
    """Measure, on servers of its own."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        bare = {name: value for name, value in os.environ.items() if not name.startswith("GENIUS_")}
        with Stack(Path(directory) / "stack", environ=bare) as stack:
            stack.migrate()
            port = free_port()
            told = {
                "GENIUS_METRICS_PORT": str(port),
                "GENIUS_METRICS_TOKEN": TOKEN,
                "GENIUS_PLATFORM_SCHEDULES": "false",
            }
            environment = stack.environment() | told
            os.environ.update(environment)
            headers = make_tenants(settings_from(environment), tenants)
            system = System(environment, Path(directory) / "logs")
            services = {
                "intake": system.intake(),
                "worker": system.worker(options=EVENTS),
                "beat": system.beat(),
                "flower": system.flower(),
            }
            urls = {
                "intake": f"{system.intake_url}/metrics",
                "worker": f"http://127.0.0.1:{port}/metrics",
            }
            with running(list(services.values())):
                return drive(
                    system.intake_url,
                    headers,
                    lambda traffic: look(urls, services, system.flower_sign_in_url, traffic),
                    jobs=jobs,
                    seconds=seconds,
                )


def drive(
    url: str, headers: Sequence[str], watch: Callable[[Traffic], Look], *, jobs: int, seconds: float
) -> tuple[list[Look], Traffic]:
    """Let clients work and look now and then."""
    traffic, looks = Traffic(), []
    with httpx.Client(base_url=url, timeout=30) as client, ThreadPoolExecutor(CLIENTS) as pool:
        ask_everything(client, traffic, headers[-1])
        # What the intake remembers of each tenant is there before memory is looked at.
        list(pool.map(lambda header: traffic.note(get_usage(client, header)), headers))
        until = time.monotonic() + seconds
        shares = [headers[n::CLIENTS] for n in range(CLIENTS)]
        clients = [
            pool.submit(visit, client, traffic, share, jobs=jobs // CLIENTS, until=until) for share in shares
        ]
        while time.monotonic() < until:
            time.sleep(EVERY_S)
            looks.append(watch(traffic))
        for each in clients:
            each.result()
    return looks, traffic


def show(looks: Sequence[Look], traffic: Traffic, *, tenants: int) -> None:
    """Print what was seen, and how memory went once everything had been used."""
    console, began = Console(), looks[0].at
    table = Table(
        "seconds",
        "requests",
        "series: intake",
        "worker",
        "all",
        "MB: intake",
        "worker",
        "its pool",
        "beat",
        "flower",
    )
    for one in looks[:: max(len(looks) // 10, 1)]:
        series = [one.series["intake"], one.series["worker"], sum(one.series.values())]
        table.add_row(
            f"{one.at - began:.0f}",
            str(one.answered),
            *(str(count) for count in series),
            *(f"{one.megabytes[name]:.1f}" for name in WATCHED),
        )
    console.print(table)
    most = max(sum(one.series.values()) for one in looks)
    console.print(
        f"{tenants} tenants, {traffic.jobs} jobs, {traffic.answered} requests: at most {most} series"
    )
    for page in PAGES:
        took = sorted(one.pages_s[page] for one in looks)
        console.print(f"Flower, /{page}: median {took[len(took) // 2]:.3f} s, longest {took[-1]:.3f} s")
    settled = looks[len(looks) // 3 :]
    for name in WATCHED:
        sizes = [one.megabytes[name] for one in settled]
        line = statistics.linear_regression([one.answered for one in settled], sizes)
        console.print(
            f"{name}: {statistics.mean(sizes):.1f} MB in the last two thirds, "
            f"{line.slope * 1000 * 1024:+.0f} kB a thousand requests"
        )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=12_000)
    parser.add_argument("--seconds", type=float, default=100.0)
    options = parser.parse_args()
    looks, traffic = run(tenants=options.tenants, jobs=options.jobs, seconds=options.seconds)
    show(looks, traffic, tenants=options.tenants)


if __name__ == "__main__":
    main()
