-- How a job runs: claimed, its lease renewed, completed.
-- Each function is one step: it binds the tenant with the caller's seal (unless the
-- transaction is bound already: seal NULL), does its step and writes the event. All run with the caller's rights.

-- Moves a waiting job to running and answers with all a worker needs; no row when there is nothing to run.
-- A job whose attempts are used up (workers that died with it) goes to the dead letters here; one of an
-- inactive organization goes back to the outbox, which the relay empties once the organization is active again.
CREATE FUNCTION app.claim_job(seal text, job uuid, attempts_made integer, worker text, lease interval)
RETURNS TABLE (kind text, payload jsonb, attempt integer, max_attempts integer, created_at timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.bind(seal);
    exhausted constant jsonb := '{"type": "LeaseLost", "message": "its worker died in every attempt"}';
    was text;
    claimed public.jobs;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT row.state INTO was FROM public.jobs AS row
    WHERE row.organization_id = tenant AND row.id = job AND row.attempt = attempts_made
      AND row.state IN ('queued', 'scheduled')
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM public.organizations WHERE organization_id = tenant AND status = 'active') THEN
        INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority)
        SELECT tenant, job, row.attempt, row.kind, row.lane, row.priority
        FROM public.jobs AS row WHERE row.organization_id = tenant AND row.id = job
        ON CONFLICT DO NOTHING;
        RETURN;
    END IF;

    UPDATE public.jobs AS row
    SET state = 'running', attempt = row.attempt + 1, started_at = clock_timestamp()
    WHERE row.organization_id = tenant AND row.id = job
      AND row.attempt < row.max_attempts AND NOT row.cancel_requested
    RETURNING row.* INTO claimed;
    IF NOT FOUND THEN
        UPDATE public.jobs AS row
        SET state = CASE WHEN row.cancel_requested THEN 'cancelled' ELSE 'dead' END,
            error = exhausted, finished_at = clock_timestamp()
        WHERE row.organization_id = tenant AND row.id = job
        RETURNING row.* INTO claimed;
        PERFORM app.end_job(tenant, job, attempts_made, claimed.state, exhausted);
        RETURN;
    END IF;

    INSERT INTO public.job_leases (organization_id, job_id, attempt, worker, leased_until)
    VALUES (tenant, job, claimed.attempt, worker, clock_timestamp() + lease);
    DELETE FROM public.outbox AS row WHERE row.organization_id = tenant AND row.job_id = job;
    INSERT INTO public.job_events (organization_id, job_id, id, at, attempt, state, detail)
    SELECT tenant, job, app.uuid7(), claimed.run_at, attempts_made, 'queued', NULL::jsonb WHERE was = 'scheduled'
    UNION ALL
    SELECT tenant, job, app.uuid7(), clock_timestamp(), claimed.attempt, 'running',
        jsonb_build_object('worker', worker);
    RETURN QUERY SELECT claimed.kind, claimed.payload, claimed.attempt, claimed.max_attempts, claimed.created_at;
END $$;

-- Extends leases and tells of each job whether it is still ours and still wanted.
CREATE FUNCTION app.renew_leases(seal text, job_ids uuid[], attempts integer[], lease interval)
RETURNS TABLE (job_id uuid, cancel_requested boolean) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.bind(seal);
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    UPDATE public.job_leases AS held
    SET leased_until = clock_timestamp() + lease
    FROM unnest(job_ids, attempts) AS mine(job_id, attempt), public.jobs AS job
    WHERE held.organization_id = tenant AND held.job_id = mine.job_id AND held.attempt = mine.attempt
      AND job.organization_id = tenant AND job.id = mine.job_id
    RETURNING held.job_id, job.cancel_requested;
END $$;

-- Completes an attempt together with the effects of the caller's transaction. False: the lease was lost, roll back.
CREATE FUNCTION app.complete_job(seal text, job uuid, held_attempt integer, outcome jsonb, quantity bigint)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := app.bind(seal);
    used_meter text;
BEGIN
    UPDATE public.jobs AS row
    SET state = 'succeeded', result = outcome, error = NULL, finished_at = clock_timestamp()
    WHERE row.organization_id = tenant AND row.id = job AND row.attempt = held_attempt AND row.state = 'running'
    RETURNING row.meter INTO used_meter;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM public.job_leases AS lease WHERE lease.organization_id = tenant AND lease.job_id = job;
    PERFORM app.commit_quota(tenant, job, used_meter, quantity);
    INSERT INTO public.job_events (organization_id, job_id, id, attempt, state)
    VALUES (tenant, job, app.uuid7(), held_attempt, 'succeeded');
    RETURN true;
END $$;
