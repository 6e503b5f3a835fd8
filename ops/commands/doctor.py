"""`genius doctor`: what is missing, and the fix."""

import typer
from rich.markup import escape
from rich.table import Table

from ops.commands.console import table_console
from ops.examination import examine


def doctor() -> None:
    """Check what the system needs, and say how to mend what is missing; exits with 1 when something is."""
    findings = examine()
    table = Table(box=None, show_header=False, padding=(0, 1))
    for finding in findings:
        mark = "[green]ok[/]" if finding.holds else "[red]no[/]"
        fix = "" if finding.holds else f"\n[bold]{escape(finding.fix)}[/]"
        table.add_row(mark, finding.check, escape(finding.found) + fix)
    table_console().print(table)
    if not all(finding.holds for finding in findings):
        raise typer.Exit(1)
