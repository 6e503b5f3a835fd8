-- The life of a job. Each function is one step: it binds the tenant with the caller's seal (unless the
-- transaction is bound already: seal NULL), does its step and writes the event. All run with the caller's rights.

CREATE FUNCTION app.bind(seal text) RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF seal IS NOT NULL THEN
        PERFORM set_config('app.tenant_seal', seal, true);
    END IF;
    RETURN app.sealed_tenant();
END $$;

-- Records jobs with their quota and their outbox rows: all of them or none.
-- Arrays run in parallel, one element a job. A known idempotency key answers with the job it made.
-- Raises GI001 (key used with another body), GQ001 (quota), GO001 (organization not active).
-- Which jobs are new travels as an array beside the others, and each table is filled from what was inserted:
-- `id = ANY (array)` would be quadratic, and reading jobs back grows with what is there.
CREATE FUNCTION app.submit_jobs(
    seal text, ids uuid[], kinds text[], lanes text[], payloads jsonb[], due timestamptz[], priorities integer[],
    attempts_allowed integer[], keys text[], fingerprints text[], meters text[], quantities bigint[],
    quota jsonb, requested_by uuid, request text
) RETURNS TABLE (
    job_id uuid, job_kind text, job_state text, job_created_at timestamptz, job_run_at timestamptz, replayed boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.bind(seal);
    answers uuid[] := ids;
    fresh boolean[] := array_fill(true, ARRAY[cardinality(ids)]);
    starts constant timestamptz := quota ->> 'period_start';
    wanted record;
    clash text;
BEGIN
    IF NOT EXISTS (SELECT FROM public.organizations WHERE organization_id = tenant AND status = 'active') THEN
        RAISE EXCEPTION 'organization is not active' USING ERRCODE = 'GO001';
    END IF;

    IF array_length(array_remove(keys, NULL), 1) > 0 THEN
        INSERT INTO public.idempotency_keys (organization_id, key, fingerprint, job_id)
        SELECT tenant, item.key, item.fingerprint, item.id
        FROM unnest(ids, keys, fingerprints) WITH ORDINALITY AS item(id, key, fingerprint, place)
        WHERE item.key IS NOT NULL
        ORDER BY item.key, item.place
        ON CONFLICT DO NOTHING;

        SELECT array_agg(coalesce(known.job_id, item.id) ORDER BY item.place),
            array_agg(known.job_id IS NULL OR known.job_id = item.id ORDER BY item.place),
            min(item.key) FILTER (WHERE known.fingerprint <> item.fingerprint)
        INTO answers, fresh, clash
        FROM unnest(ids, keys, fingerprints) WITH ORDINALITY AS item(id, key, fingerprint, place)
        LEFT JOIN public.idempotency_keys AS known ON known.organization_id = tenant AND known.key = item.key;
        IF clash IS NOT NULL THEN
            RAISE EXCEPTION 'idempotency key was used with another body' USING ERRCODE = 'GI001', DETAIL = clash;
        END IF;
    END IF;

    -- In the order of the meters, so that two submissions never lock each other's periods crosswise.
    FOR wanted IN
        SELECT need.meter, sum(need.quantity)::bigint AS quantity
        FROM unnest(fresh, meters, quantities) AS item(is_fresh, own_meter, own_quantity)
        CROSS JOIN LATERAL (VALUES (own_meter, own_quantity), ('jobs_month', 1)) AS need(meter, quantity)
        WHERE item.is_fresh AND need.meter IS NOT NULL AND need.quantity > 0
        GROUP BY need.meter ORDER BY need.meter
    LOOP
        PERFORM app.reserve_quota(
            tenant, wanted.meter, wanted.quantity, starts, (quota ->> 'period_end')::timestamptz,
            (quota -> 'limits' -> wanted.meter ->> 'amount')::bigint,
            (quota -> 'limits' -> wanted.meter ->> 'ceiling')::bigint);
    END LOOP;

    RETURN QUERY
    WITH item AS MATERIALIZED (
        SELECT * FROM unnest(
            ids, answers, fresh, kinds, lanes, payloads, due, priorities, attempts_allowed, meters, quantities
        ) WITH ORDINALITY AS item(
            id, answer, is_fresh, kind, lane, payload, run_at, priority, allowed, meter, quantity, place)
    ), made AS (
        INSERT INTO public.jobs AS job (
            organization_id, id, kind, lane, state, payload, priority, max_attempts, attempts_per_life, run_at,
            meter, requested_by, request_id)
        SELECT tenant, item.id, item.kind, item.lane,
            CASE WHEN item.run_at > now() THEN 'scheduled' ELSE 'queued' END, item.payload, item.priority,
            item.allowed, item.allowed, item.run_at, item.meter, requested_by, request
        FROM item WHERE item.is_fresh
        RETURNING job.id, job.kind, job.lane, job.state, job.priority, job.run_at, job.created_at
    ), held AS (
        INSERT INTO public.quota_reservations (organization_id, job_id, meter, period_start, quantity, state)
        SELECT tenant, item.id, need.meter, starts, need.quantity, 'held'
        FROM item CROSS JOIN LATERAL (VALUES (item.meter, item.quantity), ('jobs_month', 1)) AS need(meter, quantity)
        WHERE item.is_fresh AND need.meter IS NOT NULL AND need.quantity > 0
    ), boxed AS (
        INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority, due_at)
        SELECT tenant, made.id, 0, made.kind, made.lane, made.priority, made.run_at FROM made
    ), told AS (
        INSERT INTO public.job_events (organization_id, job_id, id, attempt, state)
        SELECT tenant, made.id, app.uuid7(), 0, made.state FROM made
    )
    SELECT item.answer, coalesce(made.kind, job.kind), coalesce(made.state, job.state),
        coalesce(made.created_at, job.created_at), coalesce(made.run_at, job.run_at), NOT item.is_fresh
    FROM item
    LEFT JOIN made ON made.id = item.answer
    LEFT JOIN public.jobs AS job
        ON job.organization_id = tenant AND job.id = CASE WHEN made.id IS NULL THEN item.answer END
    ORDER BY item.place;
END $$;

-- Forgets outbox rows of an attempt whose messages are in the queue. Losing this commit only publishes again,
-- which is harmless.
CREATE FUNCTION app.mark_published(seal text, job_ids uuid[], attempts_made integer)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    tenant uuid := app.bind(seal);
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    DELETE FROM public.outbox AS row
    WHERE row.organization_id = tenant AND row.job_id = ANY (job_ids) AND row.attempt = attempts_made;
END $$;

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

-- Puts a waiting job back into the outbox: its message was too old to be trusted.
CREATE FUNCTION app.republish_job(seal text, job uuid)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := app.bind(seal);
BEGIN
    INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority, due_at)
    SELECT tenant, job, row.attempt, row.kind, row.lane, row.priority, row.run_at
    FROM public.jobs AS row
    WHERE row.organization_id = tenant AND row.id = job AND row.state IN ('queued', 'scheduled')
    ON CONFLICT DO NOTHING;
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
