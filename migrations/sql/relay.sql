-- What crosses tenants: the relay's own functions, run with the rights of genius_relay, which sees ids,
-- states and due moments through column grants and never a payload.

CREATE TABLE app.relay_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- The queue that has been offered every waiting job; the one that is being offered them, up to which job; and
    -- how many it did not have, when all had been offered and until now.
    queue_generation text,
    rebuilding text,
    rebuilt_organization uuid,
    rebuilt_job uuid,
    missing bigint NOT NULL DEFAULT 0,
    missing_so_far bigint NOT NULL DEFAULT 0
);
INSERT INTO app.relay_state DEFAULT VALUES;
GRANT SELECT, UPDATE ON app.relay_state TO genius_relay;

-- Puts running jobs whose lease lapsed back into the outbox, at most *batch* of them; answers how many.
-- The update of the job row comes first and re-checks the lease, in the order in which a finishing worker locks.
CREATE FUNCTION app.requeue_lapsed(batch integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    requeued integer;
BEGIN
    -- A running job needs no outbox row; one that was left would refuse the new one, and stop every pass from then on.
    DELETE FROM public.outbox AS stale USING public.job_leases AS held
    WHERE stale.organization_id = held.organization_id AND stale.job_id = held.job_id
      AND held.leased_until < clock_timestamp();

    -- A holder that was stopped in the middle of its completion keeps its row locked: it is left to a later pass.
    WITH lapsed AS MATERIALIZED (
        SELECT row.organization_id, row.id
        FROM public.job_leases AS held
        JOIN public.jobs AS row
            ON row.organization_id = held.organization_id AND row.id = held.job_id AND row.attempt = held.attempt
        WHERE held.leased_until < clock_timestamp() AND row.state = 'running'
        LIMIT batch
        FOR UPDATE OF row SKIP LOCKED
    ), job AS (
        UPDATE public.jobs AS row SET state = 'queued', run_at = NULL
        FROM lapsed
        WHERE row.organization_id = lapsed.organization_id AND row.id = lapsed.id
          AND EXISTS (
            SELECT FROM public.job_leases AS held
            WHERE held.organization_id = row.organization_id AND held.job_id = row.id
              AND held.attempt = row.attempt AND held.leased_until < clock_timestamp())
        RETURNING row.organization_id, row.id, row.kind, row.lane, row.attempt, row.priority
    ), freed AS (
        DELETE FROM public.job_leases AS held USING job
        WHERE held.organization_id = job.organization_id AND held.job_id = job.id AND held.attempt = job.attempt
    ), told AS (
        INSERT INTO public.job_events (organization_id, job_id, id, attempt, state, detail)
        SELECT organization_id, id, app.uuid7(), attempt, 'queued', '{"lease_lost": true}' FROM job
    ), boxed AS (
        INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority)
        SELECT organization_id, id, attempt, kind, lane, priority FROM job
        RETURNING 1
    )
    SELECT count(*) INTO requeued FROM boxed;
    RETURN requeued;
END $$;
