"""The message of a job: a signed pointer to its row, never its payload."""

import hashlib
import hmac
import time
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

LIFETIME_S = 30 * 24 * 3600
"""A pointer older than this, counted from when its job is due, is not trusted any more."""


class ForgedPointerError(Exception):
    """The pointer was not signed by us."""


class Pointer(NamedTuple):
    """Names the attempt that a worker may claim."""

    organization_id: UUID
    job_id: UUID
    kind: str
    attempts_made: int
    """Attempts before this one; a row that has moved on refuses the claim."""
    expires_at: int
    """Unix seconds."""

    def sign(self, secret: bytes) -> tuple[str, str, int, int, str]:
        """Return the task arguments: organization, job, attempts made, expiry, signature."""
        told = (str(self.organization_id), str(self.job_id), self.attempts_made, self.expires_at)
        return (*told, mac(secret, self.kind, told))

    @property
    def expired(self) -> bool:
        """Tell whether the pointer is too old to act on."""
        return self.expires_at < time.time()


Told = tuple[str, str, int, int]
"""Organization, job, attempts made and expiry, as a message says them."""


def mac(secret: bytes, kind: str, told: Told) -> str:
    """Return the signature, in hex."""
    organization, job, attempts_made, expires_at = told
    signed = f"{organization}.{job}.{kind}.{attempts_made}.{expires_at}"
    return hmac.digest(secret, signed.encode(), hashlib.sha256).hex()


def make_pointer(
    organization_id: UUID, job_id: UUID, *, kind: str, attempts_made: int, due_at: datetime | None
) -> Pointer:
    """Return the pointer to the next attempt of a job that may run from *due_at* on."""
    due = max(time.time(), due_at.timestamp() if due_at else 0.0)
    return Pointer(organization_id, job_id, kind, attempts_made, int(due) + LIFETIME_S)


def read_pointer(kind: str, arguments: tuple[object, ...], secret: bytes, *, tenant: object) -> Pointer:
    """Verify the arguments of a task of *kind* and return the pointer.

    Args:
        kind: Name of the task that the message is for.
        arguments: As `Pointer.sign` returned them.
        secret: That signed them.
        tenant: In whose name the message stood in the queue, who pays for the attempt.

    Raises:
        ForgedPointerError: The arguments are malformed, the signature is not ours, or another tenant pays.
    """
    try:
        organization_id, job_id, attempts_made, expires_at, signature = arguments
        told = (str(organization_id), str(job_id), int(str(attempts_made)), int(str(expires_at)))
        pointer = Pointer(UUID(told[0]), UUID(told[1]), kind, *told[2:])
        genuine = hmac.compare_digest(mac(secret, kind, told).encode(), str(signature).encode())
    except ValueError as error:
        raise ForgedPointerError(f"malformed pointer of kind {kind}") from error
    if not genuine:
        raise ForgedPointerError(f"signature of a pointer of kind {kind} does not match")
    if tenant != told[0]:
        raise ForgedPointerError(f"pointer of kind {kind} stood in the queue of another tenant")
    return pointer
