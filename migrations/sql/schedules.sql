-- Recurring schedules. A moment and its job are recorded in one transaction under the key
-- (organization, schedule, nominal time): however many beats try, one of them makes the one job.
-- All functions run with the caller's rights, bound to one tenant.

-- Forgets open runs whose job has ended (or was removed); answers whether any is left. The job's state is a scalar
-- subquery: it can only be looked up run by run, where a join might read every job of the tenant.
CREATE FUNCTION app.close_ended_runs(tenant uuid, schedule uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.schedule_runs AS run SET open = false
    WHERE run.organization_id = tenant AND run.schedule_id = schedule AND run.open
      AND coalesce(
        (SELECT job.state FROM public.jobs AS job WHERE job.organization_id = tenant AND job.id = run.job_id), ''
      ) NOT IN ('scheduled', 'queued', 'running');
    RETURN EXISTS (
        SELECT FROM public.schedule_runs AS run
        WHERE run.organization_id = tenant AND run.schedule_id = schedule AND run.open);
END $$;

-- Records a job of the platform's own: like app.submit_jobs, but it takes nothing of the tenant's quota.
CREATE FUNCTION app.record_platform_job(tenant uuid, made uuid, job jsonb, due timestamptz, request text)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH recorded AS (
        INSERT INTO public.jobs AS recorded (
            organization_id, id, kind, lane, state, payload, priority, max_attempts, attempts_per_life, run_at,
            request_id)
        SELECT tenant, made, job ->> 'kind', job ->> 'lane', CASE WHEN due > now() THEN 'scheduled' ELSE 'queued' END,
            job -> 'payload', (job ->> 'priority')::smallint, (job ->> 'max_attempts')::integer,
            (job ->> 'max_attempts')::integer, due, request
        RETURNING recorded.state, recorded.priority
    ), boxed AS (
        INSERT INTO public.outbox (organization_id, job_id, attempt, kind, lane, priority, due_at)
        SELECT tenant, made, 0, job ->> 'kind', job ->> 'lane', recorded.priority, due FROM recorded
    )
    INSERT INTO public.job_events (organization_id, job_id, id, attempt, state)
    SELECT tenant, made, app.uuid7(), 0, recorded.state FROM recorded
$$;

-- Records that a moment fired, together with its job. Answers the job's id; NULL: the moment has its job already.
-- A moment that was skipped, missed or buffered fires after all. Raises what app.submit_jobs raises.
CREATE FUNCTION app.record_run(
    tenant uuid, schedule uuid, moment timestamptz, asked_by text, job jsonb, due timestamptz, quota jsonb,
    requested_by uuid
) RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made constant uuid := app.uuid7();
BEGIN
    INSERT INTO public.schedule_runs AS run (
        organization_id, schedule_id, nominal_time, state, trigger, job_id, open)
    SELECT tenant, schedule, moment, 'fired', asked_by, made, held.overlap <> 'allow_all'
    FROM public.schedules AS held WHERE held.organization_id = tenant AND held.id = schedule
    ON CONFLICT (organization_id, schedule_id, nominal_time) DO UPDATE
    SET state = 'fired', trigger = excluded.trigger, reason = NULL, detail = NULL, job_id = made,
        open = excluded.open, recorded_at = clock_timestamp()
    WHERE run.state <> 'fired';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF EXISTS (
        SELECT FROM public.schedules AS held
        WHERE held.organization_id = tenant AND held.id = schedule AND held.platform IS NOT NULL
    ) THEN
        PERFORM app.record_platform_job(tenant, made, job, due, 'schedule/' || schedule);
        RETURN made;
    END IF;
    PERFORM FROM app.submit_jobs(
        seal => NULL, ids => ARRAY[made], kinds => ARRAY[job ->> 'kind'], lanes => ARRAY[job ->> 'lane'],
        payloads => ARRAY[job -> 'payload'], due => ARRAY[due], priorities => ARRAY[(job ->> 'priority')::integer],
        attempts_allowed => ARRAY[(job ->> 'max_attempts')::integer], keys => ARRAY[NULL::text],
        fingerprints => ARRAY[NULL::text], meters => ARRAY[job ->> 'meter'],
        quantities => ARRAY[(job ->> 'quantity')::bigint], quota => quota, requested_by => requested_by,
        request => 'schedule/' || schedule);
    RETURN made;
END $$;

-- Records what else became of a moment; one that has fired stays fired.
CREATE FUNCTION app.note_run(
    tenant uuid, schedule uuid, moment timestamptz, became text, why text, told text
) RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.schedule_runs AS run (
        organization_id, schedule_id, nominal_time, state, trigger, reason, detail)
    VALUES (tenant, schedule, moment, became, 'schedule', why, told)
    ON CONFLICT (organization_id, schedule_id, nominal_time) DO UPDATE
    SET state = became, reason = why, detail = told, recorded_at = clock_timestamp()
    WHERE run.state = 'buffered'
$$;

-- Settles the due moments of schedules and moves each schedule on. *firings* is a list of
--   {id, revision, expected, following, refusal, detail, job, moments: [{at, due, late}]}
-- A schedule that another beat holds, has moved on or was changed since the caller read it is left alone.
-- Answers what became of each moment.
CREATE FUNCTION app.fire_schedules(seal text, firings jsonb, quota jsonb)
RETURNS TABLE (
    fired_schedule uuid, fired_moment timestamptz, became text, made_job uuid, job_due timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant constant uuid := app.bind(seal);
    runs_kept constant interval := '90 days';
    firing jsonb;
    row public.schedules;
    busy boolean;
    why text;
    told text;
BEGIN
    FOR firing IN SELECT value FROM jsonb_array_elements(firings) LOOP
        SELECT held.* INTO row FROM public.schedules AS held
        WHERE held.organization_id = tenant AND held.id = (firing ->> 'id')::uuid
          AND held.revision = (firing ->> 'revision')::integer AND NOT held.paused AND held.deleted_at IS NULL
          AND held.next_nominal IS NOT DISTINCT FROM (firing ->> 'expected')::timestamptz
        FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;

        busy := app.close_ended_runs(tenant, row.id);
        fired_schedule := row.id;
        FOR fired_moment, job_due, why IN
            SELECT row.buffered_nominal, NULL::timestamptz, NULL::text
            WHERE row.buffered_nominal IS NOT NULL AND NOT busy
            UNION ALL
            SELECT (moment ->> 'at')::timestamptz, (moment ->> 'due')::timestamptz,
                CASE WHEN (moment ->> 'late')::boolean THEN 'late' END
            FROM jsonb_array_elements(firing -> 'moments') AS moment
        LOOP
            why := coalesce(firing ->> 'refusal', why);
            told := CASE WHEN why <> 'late' THEN firing ->> 'detail' END;
            made_job := NULL;
            IF why IS NOT NULL THEN
                became := 'missed';
            ELSIF NOT busy OR row.overlap = 'allow_all' THEN
                BEGIN
                    made_job := app.record_run(
                        tenant, row.id, fired_moment, 'schedule', firing -> 'job', job_due, quota, row.created_by);
                    CONTINUE WHEN made_job IS NULL;
                    became := 'fired';
                    busy := true;
                EXCEPTION
                    WHEN SQLSTATE 'GQ001' THEN
                        became := 'missed';
                        why := 'quota';
                        told := SQLERRM;
                    WHEN SQLSTATE 'GO001' THEN
                        became := 'missed';
                        why := 'organization';
                END;
            ELSIF row.overlap = 'buffer_one' AND row.buffered_nominal IS NULL THEN
                became := 'buffered';
                why := 'overlap';
            ELSE
                became := 'skipped';
                why := 'overlap';
            END IF;

            IF became = 'buffered' THEN
                row.buffered_nominal := fired_moment;
            ELSIF row.buffered_nominal = fired_moment THEN
                row.buffered_nominal := NULL;
            END IF;
            IF became <> 'fired' THEN
                made_job := NULL;
                PERFORM app.note_run(tenant, row.id, fired_moment, became, why, told);
            END IF;
            RETURN NEXT;
        END LOOP;

        UPDATE public.schedules AS held
        SET next_nominal = (firing ->> 'following')::timestamptz, buffered_nominal = row.buffered_nominal
        WHERE held.organization_id = tenant AND held.id = row.id;
        DELETE FROM public.schedule_runs AS run
        WHERE run.organization_id = tenant AND run.schedule_id = row.id AND NOT run.open
          AND run.nominal_time < now() - runs_kept AND run.recorded_at < now() - runs_kept;
    END LOOP;
END $$;

-- Fires moments because somebody asked, whatever the overlap policy says: all that have no job yet, or none.
-- Answers the moments that got one. With *key*, which is for one moment: asked again, answers the run it made.
-- Raises what app.submit_jobs raises.
CREATE FUNCTION app.run_schedule(
    seal text, schedule uuid, moments timestamptz[], asked_by text, job jsonb, quota jsonb, requested_by uuid,
    key text DEFAULT NULL, fingerprint text DEFAULT NULL
) RETURNS TABLE (fired_moment timestamptz, made_job uuid, replayed boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant constant uuid := app.bind(seal);
BEGIN
    PERFORM FROM public.schedules AS held
    WHERE held.organization_id = tenant AND held.id = schedule AND held.deleted_at IS NULL
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- The schedule is locked: of two requests with one key, the second sees what the first has made.
    RETURN QUERY
    SELECT run.nominal_time, run.job_id, true
    FROM public.idempotency_keys AS known
    JOIN public.schedule_runs AS run
        ON run.organization_id = tenant AND run.schedule_id = run_schedule.schedule AND run.job_id = known.job_id
    WHERE known.organization_id = tenant AND known.key = run_schedule.key
      AND known.fingerprint = run_schedule.fingerprint;
    IF FOUND THEN
        RETURN;
    END IF;
    replayed := false;
    FOREACH fired_moment IN ARRAY moments LOOP
        made_job := app.record_run(tenant, schedule, fired_moment, asked_by, job, NULL, quota, requested_by);
        CONTINUE WHEN made_job IS NULL;
        IF key IS NOT NULL THEN
            INSERT INTO public.idempotency_keys (organization_id, key, fingerprint, job_id)
            VALUES (tenant, run_schedule.key, run_schedule.fingerprint, made_job) ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'idempotency key was used for something else'
                    USING ERRCODE = 'GI001', DETAIL = run_schedule.key;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    UPDATE public.schedules AS held SET buffered_nominal = NULL
    WHERE held.organization_id = tenant AND held.id = schedule AND held.buffered_nominal = ANY (moments);
END $$;
