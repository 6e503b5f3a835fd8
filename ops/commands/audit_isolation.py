"""`genius audit-isolation`: what could let one tenant reach another, and the fix."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ops.commands.console import table_console
from ops.configuration import settings_in_force
from ops.isolation.audit import audit_isolation as audit
from ops.isolation.finding import Finding

AsJson = Annotated[bool, typer.Option("--json", help="Print the findings as one JSON document.")]


def audit_isolation(*, as_json: AsJson = False) -> None:
    """Look for what could let one tenant reach another; exits with 1 when something is found.

    Every table, key, grant, function, role and setting of the database, every route, every door of the code.
    """
    findings = audit(settings_in_force())
    if as_json:
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}, indent=2))
    elif findings:
        _show(findings)
    else:
        typer.echo("Nothing found that could let one tenant reach another.")
    if findings:
        raise typer.Exit(1)


def _show(findings: Sequence[Finding]) -> None:
    table = Table("object", "rule", "found", "fix", box=None, padding=(0, 1))
    for finding in findings:
        table.add_row(*map(escape, (finding.object, finding.rule, finding.found, finding.fix)))
    table_console().print(table)
