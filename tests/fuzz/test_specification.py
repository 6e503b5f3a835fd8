"""What schemathesis makes of the OpenAPI document gets only answers that the document declares.

The long form: ``FUZZ_CASES=20000 pytest tests/fuzz``; with ``FUZZ_SEED`` it sends others.
"""

import os
from collections.abc import Callable

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.attacks.http.careless import answer, behind
from tests.fuzz.specification import Findings, run
from tests.support.two_tenants import World

CASES = int(os.environ.get("FUZZ_CASES", "0"))
"""Requests to send, about; without it one for each operation is enough."""
SEED = int(os.environ.get("FUZZ_SEED", "11"))


def sent(world: World, headers: dict[str, str]) -> Findings:
    operations = sum(len(methods) for methods in world.app.openapi()["paths"].values())
    phases = ("coverage", "fuzzing", "stateful") if CASES else ("fuzzing",)
    examples = max(1, CASES // operations // 2)
    return run(str(world.client.base_url), headers, examples=examples, seed=SEED, phases=phases)


def told(findings: Findings) -> str:
    """Print the figures of a run; return what it found."""
    print(f"{findings.sent} requests to {len(findings.operations)} operations: {dict(findings.statuses)}")  # noqa: T201 - with pytest -s
    return "\n".join(f"{failure}\n    {sample}" for failure, sample in findings.failures.items())


def test_every_answer_is_one_that_the_document_declares(world: World) -> None:
    findings = sent(world, world.mine.headers())
    assert not told(findings)
    assert len(findings.operations) > 130


CALLERS: dict[str, Callable[[World], dict[str, str]]] = {
    "nobody": lambda _: {},
    "one who may do nothing": lambda world: world.mine.headers(permissions=[]),
    "a forger": lambda world: {"Authorization": world.mine.headers()["Authorization"][:-4] + "AAAA"},
}


@pytest.mark.skipif(not CASES, reason="the long form; test_permissions.py asks every route for each of them")
@pytest.mark.parametrize("caller", CALLERS)
def test_also_who_may_not_gets_only_what_the_document_declares(world: World, caller: str) -> None:
    findings = sent(world, CALLERS[caller](world))
    assert not told(findings)
    assert len(findings.operations) > 130


UNDECLARED = {
    "/api/v1/usage": (500, b"{}", "application/problem+json", "not_a_server_error"),
    "/api/v1/plans": (418, b"{}", "application/json", "status_code_conformance"),
    "/api/v1/roles": (200, b"{}", "application/json", "response_schema_conformance"),
    "/api/v1/features": (200, b"<p>", "text/html", "content_type_conformance"),
}


def test_an_answer_that_is_not_declared_is_found(world: World) -> None:
    async def undeclared(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in UNDECLARED:
            status, body, type_, _ = UNDECLARED[scope["path"]]
            await answer(send, status, body, {"Content-Type": type_})
        else:
            await app(scope, receive, send)

    only = [f"GET {path}" for path in UNDECLARED]
    with behind(undeclared):
        url, headers = str(world.client.base_url), world.mine.headers()
        findings = run(url, headers, examples=1, seed=SEED, phases=("fuzzing",), only=only)
    for path, (*_, check) in UNDECLARED.items():
        assert any(f"GET {path}: {check}:" in failure for failure in findings.failures)
