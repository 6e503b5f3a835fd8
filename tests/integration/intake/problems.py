"""What every refusal must look like."""

import re
from typing import Any

import httpx

INTERNALS = re.compile(
    r"traceback|sqlalchemy|psycopg|pydantic|/work|\.py\b|select |insert into|genius_app|constraint",
    re.IGNORECASE,
)


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that *answer* is the problem document of *status*, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert document["type"].startswith("urn:genius:problem:")
    assert document["error"] == document["detail"] != ""
    assert document["instance"] == answer.request.url.path
    assert document["request_id"] == answer.headers["x-request-id"]
    assert not INTERNALS.search(answer.text), answer.text
    if status == httpx.codes.UNAUTHORIZED:
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    return document


def fields(document: dict[str, Any]) -> list[tuple[int | None, str]]:
    """Return index and field of every error in *document*."""
    return [(error.get("index"), error["field"]) for error in document["errors"]]
