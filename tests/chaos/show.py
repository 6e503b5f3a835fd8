"""Print the report of a chaos run."""

from rich.console import Console
from rich.table import Table

from tests.chaos.run import Report


def show(report: Report, console: Console) -> None:
    """Print what was done to the system, and what was found."""
    console.print(_faults(report))
    console.print(_checks(report))
    for finding in report.findings:
        console.print(f"[red]{finding}[/red]", soft_wrap=True, highlight=False)
    if report.findings:
        console.print(report.logs, markup=False, highlight=False, soft_wrap=True)


def _faults(report: Report) -> Table:
    minutes = report.profile.lasting.total_seconds() / 60
    title = f"{report.faults.total()} faults in {minutes:.1f} minutes (seed {report.profile.seed})"
    table = Table(title=title, title_justify="left")
    table.add_column("fault")
    table.add_column("times", justify="right")
    for name, times in sorted(report.faults.items()):
        table.add_row(name, str(times))
    return table


def _checks(report: Report) -> Table:
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(report.states.items()))
    title = (
        f"{report.states.total():,} jobs: {states}; {report.requests:,} requests, of which "
        f"{report.unanswered:,} unanswered; over {report.drained_in_s:.0f} s after the last fault"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("what must hold")
    table.add_column("compared", justify="right")
    table.add_column("violations", justify="right")
    for check in report.audit.checks.values():
        count = len(check.findings)
        table.add_row(check.name, f"{check.compared:,}", str(count), style="red" if count else None)
    return table
