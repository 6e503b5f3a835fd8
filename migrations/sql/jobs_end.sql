-- How a job ends otherwise: failed, cancelled, given another life.
-- Each function is one step: it binds the tenant with the caller's seal (unless the
-- transaction is bound already: seal NULL), does its step and writes the event. All run with the caller's rights.

-- Ends a job that did not succeed: dead or cancelled. The caller has fenced the update of the job row.
CREATE FUNCTION app.end_job(tenant uuid, job uuid, last_attempt integer, final_state text, why jsonb)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.job_leases AS lease WHERE lease.organization_id = tenant AND lease.job_id = job;
    DELETE FROM public.outbox AS row WHERE row.organization_id = tenant AND row.job_id = job;
    PERFORM app.release_quota(tenant, job);
    IF final_state = 'dead' THEN
        INSERT INTO public.dead_letters (organization_id, job_id, kind, attempts, error)
        SELECT tenant, job, row.kind, last_attempt, why
        FROM public.jobs AS row WHERE row.organization_id = tenant AND row.id = job;
    END IF;
    INSERT INTO public.job_events (organization_id, job_id, id, attempt, state, detail)
    VALUES (tenant, job, app.uuid7(), last_attempt, final_state, why);
END $$;

-- Ends a failed attempt: back to queued when *retry_at* is given and attempts are left, else dead.
-- One that does not count (a remote asked to come back later) leaves as many attempts as before.
-- Answers the state and what to publish; no row when the lease was lost.
CREATE FUNCTION app.fail_job(
    seal text, job uuid, held_attempt integer, why jsonb, retry_at timestamptz, counts boolean
) RETURNS TABLE (state text, priority integer, plan text, plan_overrides jsonb) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.bind(seal);
    failed public.jobs;
BEGIN
    UPDATE public.jobs AS row
    SET state = CASE
            WHEN row.cancel_requested THEN 'cancelled'
            WHEN retry_at IS NULL OR (counts AND row.attempt >= row.max_attempts) THEN 'dead'
            ELSE 'queued' END,
        max_attempts = row.max_attempts + CASE WHEN counts THEN 0 ELSE 1 END,
        error = why
    WHERE row.organization_id = tenant AND row.id = job AND row.attempt = held_attempt AND row.state = 'running'
    RETURNING row.* INTO failed;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE public.jobs AS row
    SET run_at = CASE WHEN failed.state = 'queued' THEN retry_at ELSE row.run_at END,
        finished_at = CASE WHEN failed.state = 'queued' THEN NULL ELSE clock_timestamp() END
    WHERE row.organization_id = tenant AND row.id = job;
    IF failed.state = 'queued' THEN
        DELETE FROM public.job_leases AS lease WHERE lease.organization_id = tenant AND lease.job_id = job;
        INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority, due_at)
        VALUES (tenant, job, failed.attempt, failed.kind, failed.lane, failed.priority, retry_at);
        INSERT INTO public.job_events (organization_id, job_id, id, attempt, state, detail)
        VALUES (tenant, job, app.uuid7(), held_attempt, 'queued', why || jsonb_build_object('retry_at', retry_at));
    ELSE
        PERFORM app.end_job(tenant, job, held_attempt, failed.state, why);
    END IF;
    RETURN QUERY
    SELECT failed.state, failed.priority::integer, organization.plan, organization.plan_overrides
    FROM public.organizations AS organization WHERE organization.organization_id = tenant;
END $$;

-- Cancels a waiting job at once; asks a running one to stop. Answers the state found; no row: no such job.
CREATE FUNCTION app.cancel_job(seal text, job uuid)
RETURNS TABLE (found text, attempt integer, lane text) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.bind(seal);
    row public.jobs;
BEGIN
    SELECT j.* INTO row FROM public.jobs AS j WHERE j.organization_id = tenant AND j.id = job FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF row.state IN ('queued', 'scheduled') THEN
        UPDATE public.jobs AS j SET state = 'cancelled', finished_at = clock_timestamp()
        WHERE j.organization_id = tenant AND j.id = job;
        PERFORM app.end_job(tenant, job, row.attempt, 'cancelled', NULL);
    ELSIF row.state = 'running' AND NOT row.cancel_requested THEN
        UPDATE public.jobs AS j SET cancel_requested = true WHERE j.organization_id = tenant AND j.id = job;
        INSERT INTO public.job_events (organization_id, job_id, id, attempt, state, detail)
        VALUES (tenant, job, app.uuid7(), row.attempt, 'running', '{"cancel_requested": true}');
    END IF;
    RETURN QUERY SELECT row.state, row.attempt, row.lane;
END $$;

-- Gives a dead or cancelled job another life: as many attempts again, quota reserved anew.
-- Answers the state found and what to publish; no row: no such job.
CREATE FUNCTION app.retry_job(seal text, job uuid, quota jsonb)
RETURNS TABLE (found text, kind text, lane text, attempt integer, priority integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.bind(seal);
    row public.jobs;
    held record;
BEGIN
    SELECT j.* INTO row FROM public.jobs AS j WHERE j.organization_id = tenant AND j.id = job FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF row.state IN ('dead', 'cancelled') THEN
        FOR held IN
            UPDATE public.quota_reservations AS old
            SET state = 'held', period_start = (quota ->> 'period_start')::timestamptz
            WHERE old.organization_id = tenant AND old.job_id = job AND old.state IN ('released', 'expired')
            RETURNING old.meter, old.quantity
        LOOP
            PERFORM app.reserve_quota(
                tenant, held.meter, held.quantity, (quota ->> 'period_start')::timestamptz,
                (quota ->> 'period_end')::timestamptz, (quota -> 'limits' -> held.meter ->> 'amount')::bigint,
                (quota -> 'limits' -> held.meter ->> 'ceiling')::bigint);
        END LOOP;
        UPDATE public.jobs AS j
        SET state = 'queued', cancel_requested = false, error = NULL, finished_at = NULL, run_at = NULL,
            max_attempts = j.attempt + j.attempts_per_life
        WHERE j.organization_id = tenant AND j.id = job;
        DELETE FROM public.dead_letters AS dead WHERE dead.organization_id = tenant AND dead.job_id = job;
        INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority)
        VALUES (tenant, job, row.attempt, row.kind, row.lane, row.priority);
        INSERT INTO public.job_events (organization_id, job_id, id, attempt, state, detail)
        VALUES (tenant, job, app.uuid7(), row.attempt, 'queued', '{"requeued": true}');
    END IF;
    RETURN QUERY SELECT row.state, row.kind, row.lane, row.attempt, row.priority::integer;
END $$;
