"""Print what happened as tables, and keep the same in one JSON document."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.demo.measure import Run, Share, percentile_ms


@dataclass(frozen=True, slots=True)
class Check:
    """Something the demo promises."""

    name: str
    holds: bool
    figure: str


@dataclass(slots=True)
class Report:
    """Everything the demo found out."""

    sources: dict[str, str]
    seconds: float = 0.0
    jobs: list[dict[str, Any]] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    leads: list[dict[str, Any]] = field(default_factory=list)
    rollup: list[dict[str, Any]] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    quota: list[dict[str, Any]] = field(default_factory=list)
    noisy_neighbour: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Tell whether every check holds."""
        return bool(self.checks) and all(check.holds for check in self.checks)

    def document(self) -> dict[str, Any]:
        """Return what is written to ``var/demo-report.json``."""
        return asdict(self) | {"holds": self.holds}


def summarize(name: str, plan: str, history: Sequence[Run]) -> list[dict[str, Any]]:
    """Return one row per kind: how many jobs, how they ended, how long they waited and ran."""
    rows = []
    for kind in sorted({run.kind for run in history}):
        mine = [run for run in history if run.kind == kind]
        waits = [run.wait for run in mine if run.started_at]
        rows.append(
            {
                "organization": name,
                "plan": plan,
                "kind": kind,
                "jobs": len(mine),
                "states": dict(Counter(run.state for run in mine)),
                "wait_p50_ms": percentile_ms(waits, 50),
                "wait_p99_ms": percentile_ms(waits, 99),
                "worker_seconds": sum(run.seconds for run in mine),
            }
        )
    return rows


def show(report: Report, console: Console) -> None:
    """Print the whole report."""
    for table in (
        _jobs(report),
        _shares(report),
        _leads(report),
        _rollup(report),
        _posts(report),
        _quota(report),
        _noisy_neighbour(report),
        _checks(report),
    ):
        console.print(table)
        console.print()


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for column in columns:
        name = column.removeprefix(">")
        table.add_column(name, justify="right" if column.startswith(">") else "left")
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _jobs(report: Report) -> Table:
    table = _table(
        "Jobs by tenant and kind",
        *("organization", "plan", "kind", ">jobs", "ended", ">wait p50", ">wait p99", ">worker time"),
    )
    for row in report.jobs:
        states = ", ".join(f"{count} {state}" for state, count in row["states"].items())
        cells = (row["organization"], row["plan"], row["kind"], f"{row['jobs']:,}", states)
        waits = (_ms(row["wait_p50_ms"]), _ms(row["wait_p99_ms"]), f"{row['worker_seconds']:.2f} s")
        table.add_row(*(escape(cell) for cell in cells), *waits)
    return table


def _shares(report: Report) -> Table:
    title = "Worker time of the scoring lane while all three had work: got against entitled by weight"
    table = _table(title, "organization", ">entitled", ">got", ">worker seconds")
    for share in report.shares:
        table.add_row(escape(share.name), f"{share.entitled:.1%}", f"{share.got:.1%}", f"{share.seconds:.2f}")
    return table


def _leads(report: Report) -> Table:
    table = _table(
        f"Best leads ({report.sources['leads']})", "organization", "lead", ">score", "grade", "why"
    )
    for row in report.leads:
        why = ", ".join(f"{reason['label']} {reason['points']:+g}" for reason in row["reasons"])
        cells = (row["organization"], row["lead"], f"{row['score']:g}", row["grade"], why)
        table.add_row(*(escape(cell) for cell in cells))
    return table


def _rollup(report: Report) -> Table:
    table = _table(
        f"Rollup by day ({report.sources['events']})",
        *("organization", "day", "event", ">events", ">unique visitors"),
    )
    for row in report.rollup:
        cells = (row["organization"], str(row["period"]), row["name"])
        table.add_row(*(escape(cell) for cell in cells), f"{row['events']:,}", f"{row['visitors']:,}")
    return table


def _posts(report: Report) -> Table:
    title = f"Posts on {report.sources['posts']}; the last of each account"
    table = _table(title, "organization", "platform", "state", "text", "remote id")
    last = {(row["organization"], row["platform"]): row for row in report.posts}
    for row in last.values():
        cells = (row["organization"], row["platform"], row["state"], row["text"], str(row["remote_id"]))
        table.add_row(*(escape(cell) for cell in cells))
    return table


def _quota(report: Report) -> Table:
    table = _table("Quota of the period", "organization", "meter", ">used", ">limit", ">ledger says")
    for row in report.quota:
        limit = "unlimited" if row["amount"] is None else f"{row['amount']:,}"
        cells = (row["organization"], row["meter"])
        table.add_row(*(escape(cell) for cell in cells), f"{row['used']:,}", limit, f"{row['ledger']:,}")
    return table


def _noisy_neighbour(report: Report) -> Table:
    work = report.noisy_neighbour["workload"]
    title = (
        f"Waits of {work['small_tenants']} small tenants while one queues {work['flood']:,} jobs "
        f"of {work['job_seconds'] * 1000:g} ms"
    )
    table = _table(title, "system", ">p50", ">p99")
    for system, waits in report.noisy_neighbour["systems"].items():
        table.add_row(escape(system), _ms(waits["p50"] * 1000), _ms(waits["p99"] * 1000))
    return table


def _checks(report: Report) -> Table:
    table = _table("Checks", "", "what must hold", "figure")
    for check in report.checks:
        mark = "[green]holds[/]" if check.holds else "[bold red]FAILS[/]"
        table.add_row(mark, escape(check.name), escape(check.figure))
    return table
