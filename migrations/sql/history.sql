-- Finished jobs leave `jobs` for the history: partitioned by the month in which a job was made, which its id tells,
-- and so are the events of all jobs. What is older than is kept goes with its partition.

CREATE TABLE public.job_history_default PARTITION OF public.job_history DEFAULT;
CREATE TABLE public.job_events_default PARTITION OF public.job_events DEFAULT;

-- The smallest id of version 7 that can have been made at a moment.
CREATE FUNCTION app.first_id(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT rpad(lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;

-- Makes the partitions of this month and the *ahead* following ones, and drops those of months that ended longer ago
-- than *kept*; returns how many of each. A month that has rows in the default partition already stays there.
-- A lock that is not had at once is left for the next time: nobody waits behind it.
CREATE FUNCTION app.turn_history(ahead integer, kept interval, OUT made integer, OUT dropped integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    first constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    parent text;
    name text;
    month timestamp;
BEGIN
    made := 0;
    dropped := 0;
    FOREACH parent IN ARRAY ARRAY['job_history', 'job_events'] LOOP
        FOR month IN SELECT generate_series(first, first + make_interval(months => ahead), '1 month') LOOP
            name := parent || to_char(month, '_YYYY_MM');
            CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
            BEGIN
                EXECUTE format(
                    'CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)', name, parent,
                    app.first_id(month AT TIME ZONE 'UTC'),
                    app.first_id((month + interval '1 month') AT TIME ZONE 'UTC'));
                PERFORM app.confine(('public.' || name)::regclass);
                made := made + 1;
            EXCEPTION WHEN check_violation OR lock_not_available THEN
                CONTINUE;
            END;
        END LOOP;
        FOR name IN
            SELECT class.relname FROM pg_inherits JOIN pg_class AS class ON class.oid = pg_inherits.inhrelid
            WHERE pg_inherits.inhparent = ('public.' || parent)::regclass AND class.relname ~ '_[0-9]{4}_[0-9]{2}$'
              AND to_timestamp(right(class.relname, 7) || ' UTC', 'YYYY_MM') + interval '1 month' < now() - kept
        LOOP
            BEGIN
                EXECUTE format('DROP TABLE public.%I', name);
                dropped := dropped + 1;
            EXCEPTION WHEN lock_not_available THEN
                CONTINUE;
            END;
        END LOOP;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION app.turn_history FROM PUBLIC, genius_app, genius_relay;
GRANT EXECUTE ON FUNCTION app.turn_history TO genius_relay;

SELECT app.protect('public.job_history', ARRAY['select', 'insert']);
SELECT app.turn_history(2, '1000 years');

-- Moves at most *batch* jobs of the bound tenant into the history: those that succeeded before one moment, and those
-- that ended otherwise, which may still be retried, before another. Answers how many.
CREATE FUNCTION app.archive_jobs(succeeded_before timestamptz, failed_before timestamptz, batch integer)
RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := app.sealed_tenant();
    moved integer;
BEGIN
    WITH old AS MATERIALIZED (  -- as a subquery it could run again for each row, and find others than it locked
        SELECT job.id FROM public.jobs AS job
        WHERE job.organization_id = tenant
          AND (job.state = 'succeeded' AND job.finished_at < succeeded_before
               OR job.state IN ('dead', 'cancelled') AND job.finished_at < failed_before)
        ORDER BY job.id LIMIT batch FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM public.jobs AS job USING old WHERE job.organization_id = tenant AND job.id = old.id
        RETURNING job.*
    ), settled AS (
        DELETE FROM public.quota_reservations AS reservation USING gone
        WHERE reservation.organization_id = tenant AND reservation.job_id = gone.id AND reservation.state <> 'held'
    ), buried AS (
        DELETE FROM public.dead_letters AS letter USING gone
        WHERE letter.organization_id = tenant AND letter.job_id = gone.id AND gone.state = 'dead'
    )
    INSERT INTO public.job_history SELECT gone.* FROM gone;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END $$;

-- Removes jobs of the bound tenant that finished before a moment from the history, with their events, the oldest *batch*
-- of them. Answers how many. Runs as its owner, who is bound like the caller: the application may delete neither by
-- itself, and what finished within a month, which is the shortest time any plan keeps, cannot be removed at all.
CREATE FUNCTION app.forget_jobs(finished_before timestamptz, batch integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    tenant constant uuid := app.sealed_tenant();
    moment constant timestamptz := least(finished_before, now() - interval '30 days');
    gone uuid[];
BEGIN
    SELECT array_agg(old.id) INTO gone FROM (
        SELECT past.id FROM public.job_history AS past
        WHERE past.organization_id = tenant AND past.id < app.first_id(moment) AND past.finished_at < moment
        ORDER BY past.id LIMIT batch) AS old;
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM public.job_events AS event USING unnest(gone) AS old(id)
    WHERE event.organization_id = tenant AND event.job_id = old.id;
    DELETE FROM public.job_history AS past USING unnest(gone) AS old(id)
    WHERE past.organization_id = tenant AND past.id = old.id;
    RETURN cardinality(gone);
END $$;
REVOKE ALL ON FUNCTION app.forget_jobs FROM PUBLIC, genius_relay;
GRANT EXECUTE ON FUNCTION app.forget_jobs TO genius_app;

-- Returns a job of the history, or no row; NULL looks nowhere.
CREATE FUNCTION app.find_past_job(tenant uuid, job uuid) RETURNS SETOF public.job_history
LANGUAGE plpgsql STABLE STRICT ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT past.* FROM public.job_history AS past
    WHERE past.organization_id = tenant AND past.id = job;
END $$;
