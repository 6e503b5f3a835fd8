-- How brief jobs run: those of one organization and kind that a process holds at the same time share one transaction.
-- The lock on their rows is their lease. Nothing of them is written before they have succeeded, so that a rollback leaves
-- them waiting as they were. Both functions run in a bound transaction, with the caller's rights.

-- Locks those of *jobs* that may begin and answers with all a worker needs of each. What it does not answer (moved on,
-- in somebody's hands, due later, expired, of an inactive organization) is left to app.claim_jobs, which knows what to do.
CREATE FUNCTION app.hold_jobs(jobs uuid[], attempts_made integer[]) RETURNS TABLE (
    job_id uuid, kind text, payload jsonb, attempt integer, max_attempts integer, created_at timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.sealed_tenant();
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.organizations AS own WHERE own.organization_id = tenant AND own.status = 'active'
    ) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT row.id, row.kind, row.payload, row.attempt + 1, row.max_attempts, row.created_at
    FROM public.jobs AS row
    WHERE row.organization_id = tenant AND row.id = ANY (jobs)
      AND row.attempt = attempts_made[array_position(jobs, row.id)] AND row.state = 'queued' AND row.attempt < row.max_attempts
      AND NOT row.cancel_requested AND (row.expires_at IS NULL OR row.expires_at > clock_timestamp())
    ORDER BY row.id
    FOR NO KEY UPDATE OF row SKIP LOCKED;
END $$;

-- Begins and completes attempts that this transaction holds, with the effects that it has left: all or, with GL001, none.
-- Arrays run in parallel, one element a job, each job once. What belongs to a row is looked up with array_position: a
-- join with the arrays costs three times as much at 64 jobs, since the executor compares each row with each element.
CREATE FUNCTION app.complete_held_jobs(
    jobs uuid[], held_attempts integer[], outcomes jsonb[], quantities bigint[], worker text
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    tenant uuid := app.sealed_tenant();
    began constant uuid := app.uuid7(); -- of the events; jobs share them, within a job they differ
    ended constant uuid := app.uuid7();
    finished uuid[];
    meters text[];
    used bigint[];
BEGIN
    WITH done AS (
        UPDATE public.jobs AS row
        SET state = 'succeeded', attempt = row.attempt + 1, result = outcomes[array_position(jobs, row.id)],
            error = NULL, started_at = now(), finished_at = clock_timestamp()
        WHERE row.organization_id = tenant AND row.id = ANY (jobs)
          AND row.attempt = held_attempts[array_position(jobs, row.id)] - 1 AND row.state = 'queued'
        RETURNING row.id, row.attempt, row.meter, quantities[array_position(jobs, row.id)] AS quantity
    ), told AS (
        INSERT INTO public.job_events (organization_id, job_id, id, at, attempt, state, detail)
        SELECT tenant, done.id, event.id, event.at, done.attempt, event.state, event.detail
        FROM done CROSS JOIN (VALUES
            (began, now(), 'running', jsonb_build_object('worker', complete_held_jobs.worker)),
            (ended, clock_timestamp(), 'succeeded', NULL)
        ) AS event(id, at, state, detail)
    ), unboxed AS (
        DELETE FROM public.outbox AS box WHERE box.organization_id = tenant AND box.job_id = ANY (jobs)
    )
    SELECT array_agg(done.id), array_agg(done.meter), array_agg(done.quantity)
    INTO finished, meters, used FROM done;
    PERFORM app.settle_success(tenant, cardinality(jobs), finished, meters, used);
END $$;
