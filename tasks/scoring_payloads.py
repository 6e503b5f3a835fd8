"""What a tenant sends with the jobs that rescore leads and try rules out."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from tasks.payloads import Payload
from tasks.scoring_rules import Rules

MOST_TRIED = 100_000


class RescoreLeads(Payload):
    """Score all leads, or those that changed since they were scored, in as many jobs as it takes."""

    which: Literal["changed", "all"] = "changed"


class TryRules(Payload):
    """Say what would change if leads were scored by these rules; writes nothing.

    It looks at the newest `leads` leads. Without `rules` it compares what stands with a scoring of now.
    """

    rules: Rules | None = None
    leads: Annotated[StrictInt, Field(ge=1, le=MOST_TRIED)] = 20_000
