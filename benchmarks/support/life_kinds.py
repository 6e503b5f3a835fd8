"""The job that is measured: durable, bound to its tenant, one UPDATE; brief, or in its own transaction."""

from dataclasses import replace

from pydantic import BaseModel

from worker.context import Completion, DatabaseJob, Effects
from worker.job import JobKind, Lane, runs

ROWS = 250
"""Of a tenant, that jobs change in turn."""
TABLE = """
CREATE TABLE public.bench_rows (
    organization_id uuid NOT NULL REFERENCES public.organizations,
    id integer NOT NULL,
    n bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
);
SELECT app.protect('public.bench_rows');
"""
"""The rivals' table as one of ours: with a tenant in its key, under the policies."""
FILL = "INSERT INTO bench_rows (organization_id, id) SELECT :organization_id, generate_series(0, :last)"
UPDATE = "UPDATE bench_rows SET n = n + 1 WHERE organization_id = %s AND id = %s"


class OneRow(BaseModel):
    """Name the row to change."""

    row: int


UPDATE_ONE = JobKind(
    name="bench.update_one",
    payload=OneRow,
    lane=Lane.SCORING,
    effects=Effects.DATABASE,
    permission=None,
    brief=True,
)

UPDATE_ALONE = replace(UPDATE_ONE, name="bench.update_alone", brief=False)


@runs(UPDATE_ALONE)
@runs(UPDATE_ONE)
def update_one(job: DatabaseJob, payload: OneRow) -> Completion:
    """Change the row."""
    job.execute(UPDATE, (job.claim.organization_id, payload.row))
    return Completion()
