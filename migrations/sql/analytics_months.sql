-- Makes the partitions of this month and the *ahead* following ones, and drops those of months that no plan keeps
-- (`MOST_EVENT_DAYS` in config/plans.py); returns how many were made. A month that has rows in the default partition
-- already stays there. A lock that is not had at once is left for the next time: nobody waits behind it.
CREATE OR REPLACE FUNCTION app.ensure_event_partitions(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    kept constant interval := '800 days';
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
            PERFORM app.confine(('public.' || name)::regclass);
            made := made + 1;
        EXCEPTION WHEN check_violation OR lock_not_available THEN
            CONTINUE;
        END;
    END LOOP;
    FOR name IN
        SELECT class.relname FROM pg_inherits JOIN pg_class AS class ON class.oid = pg_inherits.inhrelid
        WHERE pg_inherits.inhparent = 'public.analytics_events'::regclass AND class.relname ~ '_[0-9]{4}_[0-9]{2}$'
          AND to_timestamp(right(class.relname, 7) || ' UTC', 'YYYY_MM') + interval '1 month' < now() - kept
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE public.%I', name);
        EXCEPTION WHEN lock_not_available THEN
            CONTINUE;
        END;
    END LOOP;
    RETURN made;
END $$;
