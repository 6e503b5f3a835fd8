-- Makes the partitions of this month and the *ahead* following ones; returns how many were made.
-- A month that has rows in the default partition already stays there.
CREATE OR REPLACE FUNCTION app.ensure_event_partitions(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    month timestamp;
    name text;
    made integer := 0;
BEGIN
    FOR month IN SELECT generate_series(first, first + make_interval(months => ahead), '1 month') LOOP
        name := 'analytics_events_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        BEGIN
            EXECUTE format(
                'CREATE TABLE public.%I PARTITION OF public.analytics_events FOR VALUES FROM (%L) TO (%L)',
                name, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        EXCEPTION WHEN check_violation THEN
            CONTINUE;
        END;
        PERFORM app.confine(('public.' || name)::regclass);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION app.ensure_event_partitions FROM PUBLIC, genius_app, genius_relay;
GRANT EXECUTE ON FUNCTION app.ensure_event_partitions TO genius_relay;
