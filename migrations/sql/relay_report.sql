-- What beats tell of themselves, of what they did and of how far they are behind: of all tenants together, and no word
-- of any. Beats write it with each pass; intake (/metrics), health checks and `genius top` read it.

CREATE TABLE app.beats (
    name text PRIMARY KEY,  -- host:process
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    passed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE app.relay_counts (
    name text PRIMARY KEY,  -- what was done, as `requeued`
    total bigint NOT NULL
);
ALTER TABLE app.relay_state ADD measured_at timestamptz, ADD lag jsonb NOT NULL DEFAULT '{}';
GRANT SELECT, INSERT, UPDATE, DELETE ON app.beats TO genius_relay;
GRANT SELECT, INSERT, UPDATE ON app.relay_counts TO genius_relay;

-- Tells how far the relay is behind, of all tenants together. Counts stop at a hundred thousand.
-- Rows of the outbox that belong to inactive organizations wait for these, not for the relay.
CREATE FUNCTION app.relay_lag(
    OUT unpublished bigint, OUT oldest_unpublished interval, OUT lapsed bigint, OUT oldest_lapsed interval,
    OUT expired bigint, OUT due_schedules bigint, OUT oldest_due_schedule interval, OUT stale_holds bigint,
    OUT missing bigint, OUT rebuilding boolean
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    SELECT
        (SELECT count(*) FROM (
            SELECT FROM public.outbox AS box
            JOIN public.organizations AS own ON own.organization_id = box.organization_id AND own.status = 'active'
            LIMIT 100000) AS few),
        (SELECT clock_timestamp() - box.created_at FROM public.outbox AS box
            JOIN public.organizations AS own ON own.organization_id = box.organization_id AND own.status = 'active'
            ORDER BY box.created_at LIMIT 1),
        (SELECT count(*) FROM public.job_leases WHERE leased_until < clock_timestamp()),
        (SELECT clock_timestamp() - min(leased_until) FROM public.job_leases WHERE leased_until < clock_timestamp()),
        (SELECT count(*) FROM (
            SELECT FROM public.job_expiries WHERE expires_at < clock_timestamp() LIMIT 100000) AS few),
        (SELECT count(*) FROM public.schedules WHERE NOT paused AND next_nominal < clock_timestamp()),
        (SELECT clock_timestamp() - min(next_nominal) FROM public.schedules
            WHERE NOT paused AND next_nominal < clock_timestamp()),
        (SELECT count(*) FROM (
            SELECT FROM public.quota_reservations AS hold
            WHERE hold.state = 'held' AND coalesce(hold.expires_at < clock_timestamp(), true) AND NOT EXISTS (
                SELECT FROM public.jobs AS job
                WHERE job.organization_id = hold.organization_id AND job.id = hold.job_id
                  AND job.state IN ('scheduled', 'queued', 'running'))
            LIMIT 100000) AS few),
        state.missing, state.rebuilding IS NOT NULL
    INTO unpublished, oldest_unpublished, lapsed, oldest_lapsed, expired, due_schedules, oldest_due_schedule, stale_holds,
        missing, rebuilding
    FROM app.relay_state AS state;
END $$;

-- Writes down how far the relay is behind now, and by how much quota had drifted when it was mended.
CREATE FUNCTION app.measure_lag() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE app.relay_state SET measured_at = clock_timestamp(), lag = (
        SELECT jsonb_object_agg(item.key, CASE
            WHEN item.key LIKE 'oldest%' THEN to_jsonb(coalesce(extract(epoch FROM (item.value #>> '{}')::interval), 0))
            ELSE item.value END)
        FROM app.relay_lag() AS behind, jsonb_each(to_jsonb(behind)) AS item
    ) || jsonb_build_object('quota_drift', (SELECT coalesce(sum(abs(told.drift)), 0) FROM app.quota_drift() AS told));
END $$;

-- Writes down that a beat has done a pass, and what it did: numbers by name. Losing this commit loses some of a count.
CREATE FUNCTION app.note_pass(beat text, done jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO app.beats (name) VALUES (beat) ON CONFLICT (name) DO UPDATE SET passed_at = clock_timestamp();
    DELETE FROM app.beats WHERE passed_at < clock_timestamp() - interval '1 hour';
    INSERT INTO app.relay_counts AS known (name, total)
    SELECT item.key, item.value::bigint FROM jsonb_each_text(done) AS item WHERE item.value::bigint > 0
    ORDER BY item.key  -- so that two beats never wait for each other crosswise
    ON CONFLICT (name) DO UPDATE SET total = known.total + excluded.total;
END $$;

-- Tells what the beats wrote: seconds since each one's last pass, what all have done, and the lag when it was measured.
-- Runs as its owner: the application sees none of these tables.
CREATE FUNCTION app.relay_report(
    OUT beats jsonb, OUT counts jsonb, OUT lag jsonb, OUT measured_ago interval
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        (SELECT coalesce(jsonb_object_agg(name, extract(epoch FROM clock_timestamp() - passed_at)), '{}') FROM app.beats),
        (SELECT coalesce(jsonb_object_agg(name, total), '{}') FROM app.relay_counts),
        state.lag, clock_timestamp() - state.measured_at
    FROM app.relay_state AS state
$$;
REVOKE ALL ON FUNCTION app.relay_report FROM PUBLIC, genius_relay;
GRANT EXECUTE ON FUNCTION app.relay_report TO genius_app;
