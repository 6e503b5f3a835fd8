"""Sends what schemathesis makes of the OpenAPI document, and collects what it finds wrong in the answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

OPERATION = {
    # Nothing outside answers here, and the platform's silence is told as 502.
    "POST /api/v1/social/accounts/authorize": {"not_a_server_error": ["2xx", "4xx", "502"]},
    "POST /api/v1/social/accounts/complete": {"not_a_server_error": ["2xx", "4xx", "502"]},
    "POST /api/v1/social/accounts/password": {"not_a_server_error": ["2xx", "4xx", "502"]},
}
"""What one operation may answer beside what all may."""

LEFT_OUT = {
    "unsupported_method": "asks for 405 where a path with an id is unknown too; test_oracles.py asks better",
    "allow_header_conformance": "of routes at one path Starlette names the methods of the first only",
    "positive_data_acceptance": "a schema cannot say that moments are in order or an id is the caller's own",
    "negative_data_rejection": "an unknown query parameter or header is ignored, as HTTP would have it",
    "ignored_auth": "sends a request twice for each case; test_permissions.py asks every route without token",
    "missing_required_header": "no header is required but the token",
    "use_after_free": "a cancelled job or a deleted post can be read on purpose",
    "ensure_resource_availability": "a job that was submitted is read from another view until it is claimed",
}
"""Checks that are not asked, and why."""


@dataclass
class Findings:
    """What a run sent and found."""

    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    """One sentence for each kind of failure of each operation, to how to send it again."""


def run(
    url: str,
    headers: Mapping[str, str],
    *,
    examples: int,
    seed: int,
    phases: tuple[str, ...],
    only: Sequence[str] = (),
) -> Findings:
    """Send up to *examples* generated requests a phase to every operation, or *only* to some."""
    config = SchemathesisConfig.from_dict(_configuration(headers, examples, seed, phases))
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    if only:
        schema = schema.include(name=list(only))
    findings = Findings()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            findings.failures[f"{event.label}: {event.value}"] = ""
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.ScenarioFinished):
            _collect(findings, event)
    return findings


def _configuration(
    headers: Mapping[str, str], examples: int, seed: int, phases: tuple[str, ...]
) -> dict[str, Any]:
    every = ("examples", "coverage", "fuzzing", "stateful")
    return {
        "seed": seed,
        "cache": {"enabled": False},
        "continue-on-failure": True,
        "request-timeout": 20,
        "headers": dict(headers),
        "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
        "checks": {name: {"enabled": False} for name in LEFT_OUT},
        "phases": {name: {"enabled": name in phases} for name in every},
        "operations": [
            {
                "include-name": name,
                "checks": {check: {"expected-statuses": allowed} for check, allowed in checks.items()},
            }
            for name, checks in OPERATION.items()
        ],
    }


def _collect(findings: Findings, event: events.ScenarioFinished) -> None:
    recorder = event.recorder
    findings.sent += len(recorder.interactions)
    for case_id, interaction in recorder.interactions.items():
        operation = recorder.cases[case_id].value.operation.label
        findings.operations.add(operation)
        status = "none" if interaction.response is None else str(interaction.response.status_code)
        findings.statuses[status] += 1
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.status is Status.FAILURE and check.failure_info is not None:
                operation = recorder.cases[case_id].value.operation.label
                reason = str(check.failure_info.failure)
                again = check.failure_info.code_sample
                findings.failures.setdefault(f"{operation}: {check.name}: {reason}", again)
