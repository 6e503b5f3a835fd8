"""One organization of the demo and its way into the intake."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from models.organization import Tenant
from ops.demo.cast import Member
from ops.error import OperatorError

JOBS_PER_REQUEST = 1_000
ITEMS_PER_REQUEST = 1_000


class RefusedError(OperatorError):
    """The intake refused what the demo sent; carries the status and the problem."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.request.url.path} answered {response.status_code}: {response.text}")
        self.status = response.status_code


@dataclass(frozen=True, slots=True)
class Participant:
    """An organization that exists now, with a client that bears its token."""

    member: Member
    tenant: Tenant
    http: httpx.Client

    @property
    def organization_id(self) -> UUID:
        return self.tenant.organization_id

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post *body* and return the answer."""
        return _content(self.http.post(f"/api/v1{path}", json=body))

    def get(self, path: str, **query: Any) -> Any:
        """Return what stands at *path*."""
        return _content(self.http.get(f"/api/v1{path}", params=query))

    def post_in_parts(self, path: str, field: str, items: Sequence[Any]) -> None:
        """Post *items* as ``{field: [...]}``, a thousand at a time."""
        for part in _parts(items, ITEMS_PER_REQUEST):
            self.post(path, {field: part})

    def submit(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Submit jobs in batches."""
        for part in _parts(jobs, JOBS_PER_REQUEST):
            self.post("/jobs/batch", {"jobs": part})


def _content(response: httpx.Response) -> Any:
    if response.is_error:
        raise RefusedError(response)
    return response.json()


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
