-- How a job runs: claimed, its lease renewed, completed.
-- Each function is one step: it binds the tenant with the caller's seal (unless the
-- transaction is bound already: seal NULL), does its step and writes the event. All run with the caller's rights.
-- Their plans are made once a session: left to itself Postgres makes them anew for each call, since it takes every array
-- to hold ten elements, and that costs two thirds of the step.

-- Moves waiting jobs to running and answers with all a worker needs of each; no row of a job that has moved on.
-- Arrays run in parallel, one element a job, of any number of organizations: each element brings its own seal, and
-- each organization's jobs are claimed under its own binding. A row that is locked is not waited for, since whoever
-- holds it may stand still: it is answered without its kind, and its message has to come again. Nested loops by key:
-- the planner, which knows nothing of the length of an array, would read whole tables. `= ANY (array)` beside a join
-- with the same array bounds what any plan reads: without it the planner, which takes an organization to be small,
-- reads all of its rows and joins them.
CREATE FUNCTION app.claim_jobs(
    seals text[], jobs uuid[], attempts_made integer[], worker text, lease interval
) RETURNS TABLE (
    job_id uuid, kind text, payload jsonb, attempt integer, max_attempts integer, created_at timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    queued constant uuid := app.uuid7(); -- of the events; jobs share them, within a job they differ
    running constant uuid := app.uuid7();
    own_seal text;
    wanted bigint;
    tenant uuid;
    taken bigint;
    refused record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR own_seal, wanted IN SELECT item.seal, count(*) FROM unnest(seals) AS item(seal) GROUP BY 1 ORDER BY 1 LOOP
        tenant := app.bind(own_seal);
        IF NOT EXISTS (
            SELECT FROM public.organizations AS own WHERE own.organization_id = tenant AND own.status = 'active'
        ) THEN
            PERFORM app.put_aside(tenant, item.job, item.made)
            FROM unnest(seals, jobs, attempts_made) AS item(seal, job, made) WHERE item.seal = own_seal;
            CONTINUE;
        END IF;
        RETURN QUERY
        WITH held AS MATERIALIZED (
            SELECT row.id, row.state
            FROM unnest(seals, jobs, attempts_made) AS item(seal, job, made)
            JOIN public.jobs AS row ON row.organization_id = tenant AND row.id = item.job AND row.id = ANY (jobs)
            WHERE item.seal = own_seal AND row.attempt = item.made AND row.state IN ('queued', 'scheduled')
              AND row.attempt < row.max_attempts AND NOT row.cancel_requested
              AND (row.expires_at IS NULL OR row.expires_at > clock_timestamp())
            ORDER BY row.id
            FOR NO KEY UPDATE OF row SKIP LOCKED
        ), claimed AS (
            UPDATE public.jobs AS row
            SET state = 'running', attempt = row.attempt + 1, started_at = clock_timestamp()
            FROM held
            WHERE row.organization_id = tenant AND row.id = held.id AND row.id = ANY (jobs)
            RETURNING row.id, row.kind, row.payload, row.attempt, row.max_attempts, row.created_at, row.run_at,
                held.state AS was
        ), leased AS (
            INSERT INTO public.job_leases (organization_id, job_id, attempt, worker, leased_until)
            SELECT tenant, claimed.id, claimed.attempt, claim_jobs.worker, clock_timestamp() + lease FROM claimed
        ), told AS (
            INSERT INTO public.job_events (organization_id, job_id, id, at, attempt, state, detail)
            SELECT tenant, claimed.id, event.*
            FROM claimed
            CROSS JOIN LATERAL (VALUES
                (queued, claimed.run_at, claimed.attempt - 1, 'queued', NULL),
                (running, clock_timestamp(), claimed.attempt, 'running',
                    jsonb_build_object('worker', claim_jobs.worker))
            ) AS event(id, at, attempt, state, detail)
            WHERE event.state = 'running' OR claimed.was = 'scheduled'
        ), unboxed AS (
            DELETE FROM public.outbox AS box USING claimed
            WHERE box.organization_id = tenant AND box.job_id = claimed.id AND box.job_id = ANY (jobs)
        )
        SELECT claimed.id, claimed.kind, claimed.payload, claimed.attempt, claimed.max_attempts, claimed.created_at
        FROM claimed;
        GET DIAGNOSTICS taken = ROW_COUNT;
        CONTINUE WHEN taken = wanted;

        -- What is still waiting by this name may not run: its attempts are used up, it was cancelled or has expired.
        FOR refused IN
            SELECT row.id, row.attempt
            FROM unnest(seals, jobs, attempts_made) AS item(seal, job, made)
            JOIN public.jobs AS row ON row.organization_id = tenant AND row.id = item.job AND row.id = ANY (jobs)
            WHERE item.seal = own_seal AND row.attempt = item.made AND row.state IN ('queued', 'scheduled')
            FOR UPDATE OF row SKIP LOCKED
        LOOP
            PERFORM app.refuse_job(tenant, refused.id, refused.attempt);
        END LOOP;
        RETURN QUERY
        SELECT row.id, NULL::text, NULL::jsonb, row.attempt, row.max_attempts, row.created_at
        FROM unnest(seals, jobs, attempts_made) AS item(seal, job, made)
        JOIN public.jobs AS row ON row.organization_id = tenant AND row.id = item.job AND row.id = ANY (jobs)
        WHERE item.seal = own_seal AND row.attempt = item.made AND row.state IN ('queued', 'scheduled');
    END LOOP;
END $$;

-- Puts a waiting job of an inactive organization back into the outbox, which the relay empties once the
-- organization is active again.
CREATE FUNCTION app.put_aside(tenant uuid, job uuid, attempts_made integer)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority)
    SELECT tenant, job, row.attempt, row.kind, row.lane, row.priority
    FROM public.jobs AS row
    WHERE row.organization_id = tenant AND row.id = job AND row.attempt = attempts_made
      AND row.state IN ('queued', 'scheduled')
    ON CONFLICT DO NOTHING
$$;

-- Ends a waiting job that no worker may claim any more: cancelled, or dead because workers died in every attempt.
CREATE FUNCTION app.refuse_job(tenant uuid, job uuid, attempts_made integer)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    exhausted constant jsonb := '{"type": "LeaseLost", "message": "its worker died in every attempt"}';
    final text;
BEGIN
    UPDATE public.jobs AS row
    SET state = CASE WHEN row.cancel_requested THEN 'cancelled' ELSE 'dead' END,
        error = exhausted, finished_at = clock_timestamp()
    WHERE row.organization_id = tenant AND row.id = job AND row.attempt = attempts_made
      AND row.state IN ('queued', 'scheduled') AND (row.cancel_requested OR row.attempt >= row.max_attempts)
    RETURNING row.state INTO final;
    IF FOUND THEN
        PERFORM app.end_job(tenant, job, attempts_made, final, exhausted);
    ELSE
        PERFORM FROM app.expire_waiting(tenant, ARRAY[job]);
    END IF;
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
    WHERE held.organization_id = tenant AND held.job_id = mine.job_id AND held.job_id = ANY (job_ids)
      AND held.attempt = mine.attempt AND job.organization_id = tenant AND job.id = mine.job_id
      AND job.id = ANY (job_ids)
    RETURNING held.job_id, job.cancel_requested;
END $$;

-- Completes attempts together with the effects of the caller's transaction: all of them, or it raises GL001, because the
-- lease of one was lost, and the caller rolls back. Arrays run in parallel, one element a job.
CREATE FUNCTION app.complete_jobs(
    seal text, jobs uuid[], held_attempts integer[], outcomes jsonb[], quantities bigint[]
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    tenant uuid := app.bind(seal);
    ended constant uuid := app.uuid7();
    finished uuid[];
    meters text[];
    used bigint[];
BEGIN
    WITH done AS (
        UPDATE public.jobs AS row
        SET state = 'succeeded', result = outcomes[array_position(jobs, row.id)], error = NULL,
            finished_at = clock_timestamp()
        WHERE row.organization_id = tenant AND row.id = ANY (jobs)
          AND row.attempt = held_attempts[array_position(jobs, row.id)] AND row.state = 'running'
        RETURNING row.id, row.attempt, row.meter, quantities[array_position(jobs, row.id)] AS quantity
    ), freed AS (
        DELETE FROM public.job_leases AS lease WHERE lease.organization_id = tenant AND lease.job_id = ANY (jobs)
    ), told AS (
        INSERT INTO public.job_events (organization_id, job_id, id, attempt, state)
        SELECT tenant, done.id, ended, done.attempt, 'succeeded' FROM done
    )
    SELECT array_agg(done.id), array_agg(done.meter), array_agg(done.quantity)
    INTO finished, meters, used FROM done;
    PERFORM app.settle_success(tenant, cardinality(jobs), finished, meters, used);
END $$;

-- Does what follows from the success of *finished* jobs, which the caller has ended in this transaction: lets go of the
-- jobs that wait for them, in a statement of its own, which sees what was submitted meanwhile; then commits their quota.
-- *used* is what each used of its own meter of *meters*, NULL what it held. Raises GL001 when they are not *wanted* many.
CREATE FUNCTION app.settle_success(tenant uuid, wanted integer, finished uuid[], meters text[], used bigint[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(cardinality(finished), 0) <> wanted THEN
        RAISE EXCEPTION 'a lease was lost' USING ERRCODE = 'GL001';
    END IF;
    PERFORM app.release_dependents(tenant, finished, 'succeeded');
    PERFORM app.commit_quota(tenant, finished, meters, used);
END $$;

-- Turns what jobs hold into what they have used, and writes the ledger. Arrays run in parallel, one element a job.
CREATE FUNCTION app.commit_quota(tenant uuid, finished uuid[], meters text[], used bigint[])
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
    WITH settled AS (
        UPDATE public.quota_reservations AS reservation
        SET state = 'committed'
        WHERE reservation.organization_id = tenant AND reservation.job_id = ANY (finished)
          AND reservation.state = 'held'
        RETURNING reservation.job_id, reservation.meter, reservation.period_start, reservation.quantity AS held,
            coalesce(
                CASE WHEN reservation.meter = meters[array_position(finished, reservation.job_id)]
                THEN used[array_position(finished, reservation.job_id)] END, reservation.quantity
            ) AS quantity
    ), recorded AS (
        INSERT INTO public.usage_ledger (organization_id, job_id, meter, period_start, quantity)
        SELECT tenant, settled.job_id, settled.meter, settled.period_start, settled.quantity
        FROM settled
    )
    UPDATE public.quota_periods AS period
    SET reserved = period.reserved - total.held, used = period.used + total.quantity
    FROM (
        SELECT settled.meter, settled.period_start, sum(settled.held)::bigint AS held,
            sum(settled.quantity)::bigint AS quantity
        FROM settled GROUP BY settled.meter, settled.period_start
        ORDER BY settled.meter  -- so that two completions never lock each other's periods crosswise
    ) AS total
    WHERE period.organization_id = tenant AND period.meter = total.meter AND period.period_start = total.period_start
$$;
