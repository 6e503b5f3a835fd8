-- How a job ends otherwise: failed, cancelled, expired, given another life; and what that means for jobs that wait for it.
-- Each function is one step: it binds the tenant with the caller's seal (unless the
-- transaction is bound already: seal NULL), does its step and writes the event. All run with the caller's rights.
-- Rows are locked in one order everywhere: a job, the jobs that wait for it, the quota periods.

-- Names equal errors alike: by type, place and message, without what differs from case to case (numbers, ids, quotes).
CREATE FUNCTION app.fingerprint(why jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT left(encode(sha256(convert_to(concat_ws(E'\n', why ->> 'type', why ->> 'place', regexp_replace(
        why ->> 'message', '"[^"]*"|''[^'']*''|\m[0-9a-f]{8,}[0-9a-f-]*|[0-9]+', '#', 'gi')), 'UTF8')), 'hex'), 16)
$$;

-- Lets go of jobs that waited for *ended* ones, which the caller has ended in this transaction: a success sends them
-- on their way, anything else cancels them and all that wait for them in turn. To be called as a statement of its own,
-- after the update of *ended*: whoever submits a job that waits locks the one it waits for, so this sees them all.
CREATE FUNCTION app.release_dependents(tenant uuid, ended uuid[], final_state text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    freed uuid[] := ended;
    cancelled uuid[] := '{}';
    why jsonb := jsonb_build_object('type', 'PredecessorFailed', 'message', 'the job it waited for is ' || final_state);
BEGIN
    LOOP
        SELECT array_agg(wait.job_id) INTO freed FROM public.job_waits AS wait
        WHERE wait.organization_id = tenant AND wait.after_id = ANY (freed);
        EXIT WHEN freed IS NULL;
        -- The job before its wait, as whoever cancels it does.
        PERFORM FROM public.jobs AS row WHERE row.organization_id = tenant AND row.id = ANY (freed)
        ORDER BY row.id FOR UPDATE;
        DELETE FROM public.job_waits AS wait WHERE wait.organization_id = tenant AND wait.job_id = ANY (freed);
        IF final_state = 'succeeded' THEN
            WITH job AS (
                UPDATE public.jobs AS row
                SET state = CASE WHEN row.run_at > clock_timestamp() THEN 'scheduled' ELSE 'queued' END
                WHERE row.organization_id = tenant AND row.id = ANY (freed) AND row.state = 'scheduled'
                RETURNING row.id, row.attempt, row.kind, row.lane, row.priority, row.run_at, row.state, row.after_id
            ), boxed AS (
                -- As old as what a submitter has left: nobody but the relay publishes it, which need not wait.
                INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority, due_at, created_at)
                SELECT tenant, job.id, job.attempt, job.kind, job.lane, job.priority, job.run_at,
                    now() - interval '2 seconds'
                FROM job
            )
            INSERT INTO public.job_events (organization_id, job_id, id, attempt, state, detail)
            SELECT tenant, job.id, app.uuid7(), job.attempt, job.state, jsonb_build_object('after', job.after_id) FROM job;
            RETURN;
        END IF;
        WITH job AS (
            UPDATE public.jobs AS row SET state = 'cancelled', error = why, finished_at = clock_timestamp()
            WHERE row.organization_id = tenant AND row.id = ANY (freed) AND row.state = 'scheduled'
            RETURNING row.id, row.attempt
        ), told AS (
            INSERT INTO public.job_events (organization_id, job_id, id, attempt, state, detail)
            SELECT tenant, job.id, app.uuid7(), job.attempt, 'cancelled', why FROM job
        )
        SELECT array_agg(job.id) INTO freed FROM job;
        cancelled := cancelled || freed;
        why := why || '{"message": "the job it waited for is cancelled"}';
    END LOOP;
    PERFORM app.release_quota(tenant, job) FROM unnest(cancelled) AS job;
END $$;

-- Ends a job that did not succeed: dead or cancelled. The caller has fenced the update of the job row.
CREATE FUNCTION app.end_job(tenant uuid, job uuid, last_attempt integer, final_state text, why jsonb)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.job_leases AS lease WHERE lease.organization_id = tenant AND lease.job_id = job;
    DELETE FROM public.outbox AS row WHERE row.organization_id = tenant AND row.job_id = job;
    DELETE FROM public.job_waits AS wait WHERE wait.organization_id = tenant AND wait.job_id = job;
    PERFORM app.release_dependents(tenant, ARRAY[job], final_state);
    PERFORM app.release_quota(tenant, job);
    IF final_state = 'dead' THEN
        INSERT INTO public.dead_letters (organization_id, job_id, kind, attempts, error, fingerprint)
        SELECT tenant, job, row.kind, last_attempt, why, app.fingerprint(why)
        FROM public.jobs AS row WHERE row.organization_id = tenant AND row.id = job;
    END IF;
    INSERT INTO public.job_events (organization_id, job_id, id, attempt, state, detail)
    VALUES (tenant, job, app.uuid7(), last_attempt, final_state, why);
END $$;

-- Ends a failed attempt: back to queued when *retry_at* is given and attempts are left, else dead; cancelled when it
-- would begin after its expiry. One that does not count (a remote asked to come back later) leaves as many attempts as before.
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
            WHEN row.expires_at <= retry_at THEN 'cancelled'
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
        -- A running job has no outbox row; one that was left all the same must not keep the job from going on.
        DELETE FROM public.outbox AS box WHERE box.organization_id = tenant AND box.job_id = job;
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
        RETURN QUERY SELECT past.state, past.attempt, past.lane FROM app.find_past_job(tenant, job) AS past;
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

-- Cancels those of *ids* that wait and are past their expiry; answers their messages, which nobody needs any more.
CREATE FUNCTION app.expire_waiting(tenant uuid, ids uuid[]) RETURNS TABLE (job_id uuid, attempt integer, lane text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    why constant jsonb := '{"type": "Expired", "message": "it had not started when it expired"}';
BEGIN
    PERFORM FROM public.jobs AS row WHERE row.organization_id = tenant AND row.id = ANY (ids) ORDER BY row.id FOR UPDATE;
    FOR job_id, attempt, lane IN
        UPDATE public.jobs AS row SET state = 'cancelled', error = why, finished_at = clock_timestamp()
        WHERE row.organization_id = tenant AND row.id = ANY (ids)
          AND row.state IN ('queued', 'scheduled') AND row.expires_at <= clock_timestamp()
        RETURNING row.id, row.attempt, row.lane
    LOOP
        PERFORM app.end_job(tenant, job_id, attempt, 'cancelled', why);
        RETURN NEXT;
    END LOOP;
END $$;

-- Looks once at each job whose expiry has passed, *batch* of them, and cancels what still waits. One that runs then is
-- not begun again: app.fail_job and the claim look at its expiry themselves.
CREATE FUNCTION app.expire_jobs(seal text, batch integer) RETURNS TABLE (job_id uuid, attempt integer, lane text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := app.bind(seal);
    due uuid[];
BEGIN
    WITH first AS MATERIALIZED (
        SELECT expiry.job_id FROM public.job_expiries AS expiry
        WHERE expiry.organization_id = tenant AND expiry.expires_at <= clock_timestamp() LIMIT batch
    ), looked_at AS (
        DELETE FROM public.job_expiries AS expiry USING first
        WHERE expiry.organization_id = tenant AND expiry.job_id = first.job_id
        RETURNING expiry.job_id
    )
    SELECT array_agg(looked_at.job_id) INTO due FROM looked_at;
    IF due IS NOT NULL THEN
        RETURN QUERY SELECT * FROM app.expire_waiting(tenant, due);
    END IF;
END $$;

-- Gives ended jobs, which the caller has locked, another life: as many attempts again, quota reserved anew.
CREATE FUNCTION app.revive_jobs(tenant uuid, chosen uuid[], quota jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held record;
BEGIN
    FOR held IN
        WITH again AS (
            UPDATE public.quota_reservations AS old
            SET state = 'held', period_start = (quota ->> 'period_start')::timestamptz
            WHERE old.organization_id = tenant AND old.job_id = ANY (chosen) AND old.state IN ('released', 'expired')
            RETURNING old.meter, old.quantity
        )
        SELECT again.meter, sum(again.quantity)::bigint AS quantity FROM again GROUP BY again.meter ORDER BY again.meter
    LOOP
        PERFORM app.reserve_quota(
            tenant, held.meter, held.quantity, (quota ->> 'period_start')::timestamptz,
            (quota ->> 'period_end')::timestamptz, (quota -> 'limits' -> held.meter ->> 'amount')::bigint,
            (quota -> 'limits' -> held.meter ->> 'ceiling')::bigint);
    END LOOP;
    DELETE FROM public.dead_letters AS dead WHERE dead.organization_id = tenant AND dead.job_id = ANY (chosen);
    WITH job AS (
        UPDATE public.jobs AS row
        SET state = 'queued', cancel_requested = false, error = NULL, finished_at = NULL, run_at = NULL,
            expires_at = NULL, max_attempts = row.attempt + row.attempts_per_life
        WHERE row.organization_id = tenant AND row.id = ANY (chosen)
        RETURNING row.id, row.attempt, row.kind, row.lane, row.priority
    ), boxed AS (
        INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority)
        SELECT tenant, job.id, job.attempt, job.kind, job.lane, job.priority FROM job
    )
    INSERT INTO public.job_events (organization_id, job_id, id, attempt, state, detail)
    SELECT tenant, job.id, app.uuid7(), job.attempt, 'queued', '{"requeued": true}' FROM job;
END $$;

-- Gives a dead or cancelled job another life. Answers the state found and what to publish; no row: no such job.
-- One that has gone to the history stays as it is, and its state is answered as `archived`.
CREATE FUNCTION app.retry_job(seal text, job uuid, quota jsonb)
RETURNS TABLE (found text, kind text, lane text, attempt integer, priority integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.bind(seal);
    row public.jobs;
BEGIN
    SELECT j.* INTO row FROM public.jobs AS j WHERE j.organization_id = tenant AND j.id = job FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY
        SELECT 'archived', past.kind, past.lane, past.attempt, past.priority::integer
        FROM app.find_past_job(tenant, job) AS past;
        RETURN;
    END IF;
    IF row.state IN ('dead', 'cancelled') THEN
        PERFORM app.revive_jobs(tenant, ARRAY[job], quota);
    END IF;
    RETURN QUERY SELECT row.state, row.kind, row.lane, row.attempt, row.priority::integer;
END $$;

-- Gives those of *jobs* that are dead another life: all of them or, when quota does not cover them (GQ001), none.
-- One that somebody else has in hand is left to them. Answers what to publish.
CREATE FUNCTION app.requeue_dead(seal text, jobs uuid[], quota jsonb)
RETURNS TABLE (job_id uuid, kind text, lane text, attempt integer, priority integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.bind(seal);
    chosen uuid[];
BEGIN
    SELECT array_agg(locked.id) INTO chosen FROM (
        SELECT row.id FROM public.jobs AS row
        WHERE row.organization_id = tenant AND row.id = ANY (requeue_dead.jobs) AND row.state = 'dead'
        ORDER BY row.id FOR UPDATE SKIP LOCKED) AS locked;
    PERFORM app.revive_jobs(tenant, chosen, quota);
    RETURN QUERY
    SELECT row.id, row.kind, row.lane, row.attempt, row.priority::integer
    FROM public.jobs AS row WHERE row.organization_id = tenant AND row.id = ANY (chosen) ORDER BY row.id;
END $$;
