-- How a job begins: recorded with its quota and its outbox row.
-- Each function is one step: it binds the tenant with the caller's seal (unless the
-- transaction is bound already: seal NULL), does its step and writes the event. All run with the caller's rights.

CREATE FUNCTION app.bind(seal text) RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF seal IS NOT NULL THEN
        PERFORM set_config('app.tenant_seal', seal, true);
    END IF;
    RETURN app.sealed_tenant();
END $$;

-- Finds for each job of a submission which one it waits for, by id or by place (from 0) among *answers*, and whether
-- that one has yet to end. Locks what it finds: it cannot end before the submission has. A replayed job waits for none.
-- Raises GW001 (no such job) and GW002 (it ended without success).
CREATE FUNCTION app.find_predecessors(
    tenant uuid, answers uuid[], fresh boolean[], after_ids uuid[], after_places integer[],
    OUT targets uuid[], OUT waiting boolean[]
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unknown text;
    failed text;
BEGIN
    SELECT array_agg(CASE WHEN item.is_fresh THEN coalesce(item.after_id, answers[item.after_place + 1]) END
        ORDER BY item.place)
    INTO targets
    FROM unnest(fresh, after_ids, after_places) WITH ORDINALITY AS item(is_fresh, after_id, after_place, place);

    PERFORM FROM public.jobs AS row WHERE row.organization_id = tenant AND row.id = ANY (targets)
    ORDER BY row.id FOR SHARE;

    SELECT array_agg(item.target IS NOT NULL AND known.state IS DISTINCT FROM 'succeeded' ORDER BY item.place),
        min(item.target::text) FILTER (WHERE item.target IS NOT NULL AND known.state IS NULL),
        min(known.state || ' ' || item.target) FILTER (WHERE known.state IN ('dead', 'cancelled'))
    INTO waiting, unknown, failed
    FROM unnest(targets, after_places) WITH ORDINALITY AS item(target, after_place, place)
    LEFT JOIN LATERAL (
        SELECT 'queued' AS state WHERE fresh[item.after_place + 1]
        UNION ALL
        SELECT job.state FROM public.jobs AS job WHERE job.organization_id = tenant AND job.id = item.target
        UNION ALL
        SELECT past.state FROM app.find_past_job(tenant, item.target) AS past
        LIMIT 1
    ) AS known ON true;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'there is no job to wait for' USING ERRCODE = 'GW001', DETAIL = unknown;
    ELSIF failed IS NOT NULL THEN
        RAISE EXCEPTION 'the job to wait for ended without success' USING ERRCODE = 'GW002', DETAIL = failed;
    END IF;
END $$;

-- Records jobs with their quota and their outbox rows: all of them or none.
-- Arrays run in parallel, one element a job. A known idempotency key answers with the job it made.
-- A job that waits for another (after_ids, after_places) gets no outbox row: app.release_dependents writes it.
-- Raises GI001 (key used with another body), GQ001 (quota), GO001 (organization not active), GW001 and GW002.
-- Which jobs are new travels as an array beside the others, and each table is filled from what was inserted:
-- `id = ANY (array)` would be quadratic, and reading jobs back grows with what is there.
CREATE FUNCTION app.submit_jobs(
    seal text, ids uuid[], kinds text[], lanes text[], payloads jsonb[], due timestamptz[], priorities integer[],
    attempts_allowed integer[], keys text[], fingerprints text[], meters text[], quantities bigint[],
    quota jsonb, requested_by uuid, request text, expiries timestamptz[] DEFAULT NULL, after_ids uuid[] DEFAULT NULL,
    after_places integer[] DEFAULT NULL
) RETURNS TABLE (
    job_id uuid, job_kind text, job_state text, job_created_at timestamptz, job_run_at timestamptz, replayed boolean,
    waits boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant uuid := app.bind(seal);
    answers uuid[] := ids;
    fresh boolean[] := array_fill(true, ARRAY[cardinality(ids)]);
    known uuid[] := '{}';
    told constant uuid := app.uuid7(); -- of the event; jobs share it, within a job it is the first
    starts constant timestamptz := quota ->> 'period_start';
    targets uuid[];
    waiting boolean[];
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

        SELECT array_agg(coalesce(used.job_id, item.id) ORDER BY item.place),
            array_agg(used.job_id IS NULL OR used.job_id = item.id ORDER BY item.place),
            coalesce(array_agg(used.job_id) FILTER (WHERE used.job_id <> item.id), '{}'),
            min(item.key) FILTER (WHERE used.fingerprint <> item.fingerprint)
        INTO answers, fresh, known, clash
        FROM unnest(ids, keys, fingerprints) WITH ORDINALITY AS item(id, key, fingerprint, place)
        LEFT JOIN public.idempotency_keys AS used ON used.organization_id = tenant AND used.key = item.key;
        IF clash IS NOT NULL THEN
            RAISE EXCEPTION 'idempotency key was used with another body' USING ERRCODE = 'GI001', DETAIL = clash;
        END IF;
    END IF;

    IF array_length(array_remove(after_ids, NULL), 1) > 0 OR array_length(array_remove(after_places, NULL), 1) > 0 THEN
        SELECT found.targets, found.waiting INTO targets, waiting
        FROM app.find_predecessors(tenant, answers, fresh, after_ids, after_places) AS found;
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
            ids, answers, fresh, kinds, lanes, payloads, due, priorities, attempts_allowed, meters, quantities,
            expiries, targets, waiting
        ) WITH ORDINALITY AS item(
            id, answer, is_fresh, kind, lane, payload, run_at, priority, allowed, meter, quantity,
            expires_at, after_id, waits, place)
    ), made AS (
        INSERT INTO public.jobs AS job (
            organization_id, id, kind, lane, state, payload, priority, max_attempts, attempts_per_life, run_at,
            meter, requested_by, request_id, expires_at, after_id)
        SELECT tenant, item.id, item.kind, item.lane,
            CASE WHEN item.waits OR item.run_at > now() THEN 'scheduled' ELSE 'queued' END, item.payload, item.priority,
            item.allowed, item.allowed, item.run_at, item.meter, requested_by, request, item.expires_at, item.after_id
        FROM item WHERE item.is_fresh
        RETURNING job.id, job.kind, job.lane, job.state, job.priority, job.run_at, job.created_at
    ), held AS (
        INSERT INTO public.quota_reservations (organization_id, job_id, meter, period_start, quantity, state)
        SELECT tenant, item.id, need.meter, starts, need.quantity, 'held'
        FROM item CROSS JOIN LATERAL (VALUES (item.meter, item.quantity), ('jobs_month', 1)) AS need(meter, quantity)
        WHERE item.is_fresh AND need.meter IS NOT NULL AND need.quantity > 0
    ), boxed AS (
        INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority, due_at)
        SELECT tenant, item.id, 0, item.kind, item.lane, item.priority, item.run_at
        FROM item WHERE item.is_fresh AND item.waits IS NOT TRUE
    ), parked AS (
        INSERT INTO public.job_waits (organization_id, job_id, after_id)
        SELECT tenant, item.id, item.after_id FROM item WHERE item.waits
    ), timed AS (
        INSERT INTO public.job_expiries (organization_id, job_id, expires_at)
        SELECT tenant, item.id, item.expires_at FROM item WHERE item.is_fresh AND item.expires_at IS NOT NULL
    ), noted AS (
        INSERT INTO public.job_events (organization_id, job_id, id, attempt, state)
        SELECT tenant, made.id, told, 0, made.state FROM made
    )
    SELECT item.answer, coalesce(made.kind, job.kind, past.kind), coalesce(made.state, job.state, past.state),
        coalesce(made.created_at, job.created_at, past.created_at), coalesce(made.run_at, job.run_at, past.run_at),
        NOT item.is_fresh, item.waits IS TRUE
    FROM item
    LEFT JOIN made ON made.id = item.answer
    LEFT JOIN public.jobs AS job ON job.organization_id = tenant AND job.id = item.answer AND job.id = ANY (known)
    LEFT JOIN LATERAL app.find_past_job(
        tenant, CASE WHEN made.id IS NULL AND job.id IS NULL THEN item.answer END) AS past ON true
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
      AND NOT EXISTS (
        SELECT FROM public.job_waits AS wait WHERE wait.organization_id = tenant AND wait.job_id = job)
    ON CONFLICT DO NOTHING;
END $$;
