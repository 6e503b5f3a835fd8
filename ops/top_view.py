"""What `genius top` shows of one look: lanes, tenants by wait, workers, dead letters, the relay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from models.organization import Tenant
from ops import words
from ops.commands.console import WIDE
from ops.lanes import Reading, TenantLine
from ops.relay_view import describe, report_document
from ops.tenant_state import state_of
from ops.worker_view import WorkerLine
from worker.relay_report import RelayReport

MOST_NAMED = 3
"""Of more workers than this only the sums are told; `--json` names all."""
FEWEST_TENANTS = 1


@dataclass(frozen=True, slots=True)
class TenantSeen:
    """One tenant of a look, with what is known of the organization."""

    line: TenantLine
    tenant: Tenant | None

    @property
    def name(self) -> str:
        return self.line.tenant if self.tenant is None else self.tenant.name

    @property
    def state(self) -> str:
        return state_of(self.line, self.tenant)


@dataclass(frozen=True, slots=True)
class Look:
    """Everything at one moment."""

    reading: Reading
    tenants: Sequence[TenantSeen]
    """Who waits longest comes first."""
    in_all: int
    """Tenants with something to show, those left out too."""
    workers: Sequence[WorkerLine] | None
    """None: they have not been asked yet."""
    dead: int | None
    """None: no role is configured that may count them."""
    report: RelayReport | None
    """None: Postgres does not answer."""

    def document(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        at = self.reading.at
        return {
            "at": at.isoformat(),
            "lanes": lanes_of(self.reading),
            "tenants": [
                {**seen.line.document(at), "name": seen.name, "state": seen.state} for seen in self.tenants
            ],
            "tenants_in_all": self.in_all,
            "workers": None if self.workers is None else [worker.document() for worker in self.workers],
            "dead_letters": self.dead,
            "relay": None if self.report is None else report_document(self.report),
        }

    def rendered(self, width: int) -> RenderableType:
        """Return everything as a person reads it."""
        return Group(
            _lanes(self.reading),
            _tenants(self.tenants, self.in_all, self.reading.at, wide=width >= WIDE),
            _workers(self.workers),
            _dead(self.dead),
            describe(self.report) if self.report else Text("relay: Postgres does not answer", style="red"),
        )

    def fitted(self, console: Console) -> RenderableType:
        """Return it for one screen: tenants at the end are left out, not what stands below them."""
        keys = Text("q quits", style="dim")
        whole = Group(self.rendered(console.width), keys)
        over = len(console.render_lines(whole, pad=False)) - console.height
        if over <= 0:
            return whole
        kept = max(len(self.tenants) - over, FEWEST_TENANTS)
        return Group(replace(self, tenants=self.tenants[:kept]).rendered(console.width), keys)


def lanes_of(reading: Reading) -> list[dict[str, Any]]:
    """Sum up each lane."""
    return [_lane(name, reading) for name in reading.lanes]


def _lane(name: str, reading: Reading) -> dict[str, Any]:
    tenants = reading.lanes[name].values()
    ages = [(reading.at - stats.oldest).total_seconds() for stats in tenants if stats.oldest]
    return {
        "lane": name,
        "waiting": sum(stats.waiting for stats in tenants),
        "delayed": sum(stats.delayed for stats in tenants),
        "put_aside": sum(stats.set_aside for stats in tenants),
        "in_flight": sum(stats.in_flight for stats in tenants),
        "oldest_age_s": max(ages, default=None),
        "tenants_with_work": sum(bool(stats.waiting or stats.in_flight) for stats in tenants),
        "worker_time_s": sum(stats.used.total_seconds() for stats in tenants),
    }


def _lanes(reading: Reading) -> Table:
    table = _table(f"Lanes at {reading.at:%H:%M:%S} UTC", "lane")
    headings = ("waiting", "delayed", "in flight", "oldest", "tenants", "worker time")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for lane in lanes_of(reading):
        counts = (lane["waiting"] + lane["put_aside"], lane["delayed"], lane["in_flight"])
        table.add_row(
            lane["lane"],
            *(f"{count:,}" for count in counts),
            words.span(lane["oldest_age_s"]),
            str(lane["tenants_with_work"]),
            words.span(lane["worker_time_s"]),
        )
    return table


Cell = Callable[[TenantSeen, datetime], str]

COLUMNS: Mapping[str, Cell] = {
    "weight": lambda seen, _: f"{seen.line.weight:g}",
    "entitled": lambda seen, _: words.share(seen.line.entitled),
    "received": lambda seen, _: words.share(seen.line.received),
    "rate": lambda seen, _: f"{seen.line.pace:.2f}",
    "in flight": lambda seen, _: f"{seen.line.in_flight:,}",
    "waiting": lambda seen, _: f"{seen.line.waiting + seen.line.put_aside:,}",
    "delayed": lambda seen, _: f"{seen.line.delayed:,}",
    "oldest": lambda seen, at: words.span(seen.line.age(at)),
}
WIDE_ONLY = frozenset({"rate", "delayed"})


def _tenants(tenants: Sequence[TenantSeen], in_all: int, at: datetime, *, wide: bool) -> Table:
    count = f"{len(tenants)} of {in_all:,}" if len(tenants) < in_all else f"{in_all:,}"
    table = _table(f"Tenants {count}, who waits longest first", "tenant")
    shown = {name: cell for name, cell in COLUMNS.items() if wide or name not in WIDE_ONLY}
    for heading in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for seen in tenants:
        state = Text(seen.state, style="yellow")
        table.add_row(escape(seen.name), *(cell(seen, at) for cell in shown.values()), state)
    return table


def _table(title: str, first: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        expand=True,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column(first, no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def _workers(workers: Sequence[WorkerLine] | None) -> Text:
    if workers is None:
        return Text("workers: asked, none has answered yet", style="dim")
    if not workers:
        return Text("workers: none answers; jobs wait", style="red")
    told = [
        f"{worker.name} ({worker.slots} slots, {worker.done:,} done, up {words.span(worker.uptime)})"
        for worker in workers
    ]
    if len(workers) > MOST_NAMED:
        slots, done = (sum(getattr(worker, name) for worker in workers) for name in ("slots", "done"))
        youngest = words.span(min(worker.uptime for worker in workers))
        told = [f"{slots} slots, {done:,} done, the youngest up {youngest}"]
    return Text(f"workers {len(workers)}: {'; '.join(told)}")


def _dead(dead: int | None) -> Text:
    if dead is None:
        return Text("dead letters: set GENIUS_RELAY_DATABASE_URL to count them", style="dim")
    return Text(f"dead letters {dead:,}", style="yellow" if dead else "")
