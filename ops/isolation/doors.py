"""The rule over the code: only the doors of ``models/session.py`` lead to the database."""

import ast
from collections.abc import Iterator
from pathlib import Path

from config.settings import ROOT
from ops.isolation.finding import Finding

PACKAGES = ("config", "models", "worker", "tasks", "intake")

RELAY = "Works across tenants as genius_relay, which sees ids, states and moments only."
CALLERS = {
    "create_engine": {"models/connection.py": "Makes the engine that refuses unsafe connections."},
    "sessionmaker": {},
    "Session": {"models/session.py": RELAY},
    "ClientCursor": {"models/connection.py": "Sends the canary, which holds nothing of a tenant."},
    "psycopg.connect": {
        "models/connection.py": "Leaves something with a pooler, to see whether another is given it."
    },
    "open_relay_database": {"worker/scheduler.py": RELAY, "tasks/upkeep.py": RELAY},
    "relay_session": {
        "worker/expire.py": RELAY,
        "worker/fire.py": RELAY,
        "worker/metrics/lanes.py": RELAY,
        "worker/relay.py": RELAY,
        "tasks/recurring.py": RELAY,
    },
    "call_relay": {"worker/relay.py": RELAY, "worker/relay_report.py": RELAY},
}
"""What opens a way to the database, and the modules that may call it, with the reason."""


def audit_doors(root: Path = ROOT) -> list[Finding]:
    """Return the calls by which code would reach the database around the doors."""
    files = (file for package in PACKAGES for file in sorted((root / package).rglob("*.py")))
    return [finding for file in files for finding in _audit(file, file.relative_to(root).as_posix())]


def _audit(file: Path, module: str) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        if name in CALLERS and module not in CALLERS[name]:
            yield Finding(
                "door",
                f"{module}:{node.lineno}",
                f"calls {name}",
                "Use tenant_session, tenant_transaction or call, or give it a reason in CALLERS (doors.py).",
            )


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="psycopg"), attr="connect"):
            return "psycopg.connect"
        case ast.Attribute(attr=name):
            return name
    return ""
