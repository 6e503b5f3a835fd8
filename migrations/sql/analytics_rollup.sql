-- How raw events become quarters of an hour, marks of visitors and days. Everything runs with the caller's rights.
--
-- A cell is (name, campaign_id, channel, post_id), where nil and '' mean none. A scope is what cells are counted under:
-- a dimension (total, campaign, channel, post), a name ('' is all names) and a member of the dimension.
-- Callers bring the calendar: local days with the moments at which each begins and ends, ascending.

SELECT app.protect('public.analytics_event_keys');
SELECT app.protect('public.analytics_watermarks');
SELECT app.protect('public.analytics_buckets');
SELECT app.protect('public.analytics_visitors');
SELECT app.protect('public.analytics_days');

-- Counts the quarters again from the raw events of transactions below *until*.
CREATE FUNCTION app.recount_quarters(quarters timestamptz[], until xid8) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant constant uuid := app.sealed_tenant();
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    DELETE FROM public.analytics_buckets AS bucket
    WHERE bucket.organization_id = tenant AND bucket.starts_at = ANY (quarters);
    -- Counted within each quarter: Postgres has to read one short range of the index for each, however little it
    -- knows of the table, so that a pass costs what is new and not what is old.
    INSERT INTO public.analytics_buckets
        (organization_id, starts_at, name, campaign_id, channel, post_id, events, value_sum)
    SELECT tenant, quarter.starts_at, counted.*
    FROM unnest(quarters) AS quarter (starts_at) CROSS JOIN LATERAL (
        SELECT event.name, coalesce(event.campaign_id, nil), coalesce(event.channel, ''),
               coalesce(event.post_id, nil), count(*), coalesce(sum(event.value), 0)
        FROM public.analytics_events AS event
        WHERE event.organization_id = tenant AND event.xid < until
          AND event.occurred_at >= quarter.starts_at
          AND event.occurred_at < quarter.starts_at + interval '15 minutes'
        GROUP BY 1, 2, 3, 4
    ) AS counted;
END $$;

-- Marks the quarters in which visitors of the events of [since, until) were there, from a moment on.
CREATE FUNCTION app.mark_visitors(since xid8, until xid8, from_moment timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant constant uuid := app.sealed_tenant();
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
    none constant bit(96) := B'0'::bit(96);
BEGIN
    INSERT INTO public.analytics_visitors AS mark
        (organization_id, visitor, day, name, campaign_id, channel, post_id, quarters)
    SELECT tenant, hashtextextended(event.visitor, 0), (event.occurred_at AT TIME ZONE 'UTC')::date, event.name,
           coalesce(event.campaign_id, nil), coalesce(event.channel, ''), coalesce(event.post_id, nil),
           bit_or(set_bit(none, (floor(extract(epoch FROM event.occurred_at))::bigint % 86400 / 900)::integer, 1))
    FROM public.analytics_events AS event
    WHERE event.organization_id = tenant AND event.xid >= since AND event.xid < until
      AND event.visitor IS NOT NULL AND (from_moment IS NULL OR event.occurred_at >= from_moment)
    GROUP BY 2, 3, 4, 5, 6, 7
    ON CONFLICT (organization_id, day, visitor, name, campaign_id, channel, post_id)
    DO UPDATE SET quarters = mark.quarters | excluded.quarters
    WHERE mark.quarters | excluded.quarters <> mark.quarters;
END $$;

-- Marks single visitors again, from what is left of their events below *until* in single quarters.
CREATE FUNCTION app.mark_again(visitors text[], moments timestamptz[], until xid8) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant constant uuid := app.sealed_tenant();
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
    none constant bit(96) := B'0'::bit(96);
BEGIN
    UPDATE public.analytics_visitors AS mark SET quarters = mark.quarters & ~gone.quarters
    FROM (
        SELECT hashtextextended(visitor, 0) AS visitor, (quarter AT TIME ZONE 'UTC')::date AS day,
               bit_or(set_bit(none, (extract(epoch FROM quarter)::bigint % 86400 / 900)::integer, 1)) AS quarters
        FROM unnest(visitors, moments) AS pair (visitor, quarter) GROUP BY 1, 2
    ) AS gone
    WHERE mark.organization_id = tenant AND mark.visitor = gone.visitor AND mark.day = gone.day;

    INSERT INTO public.analytics_visitors AS mark
        (organization_id, visitor, day, name, campaign_id, channel, post_id, quarters)
    SELECT tenant, hashtextextended(event.visitor, 0), (pair.quarter AT TIME ZONE 'UTC')::date, event.name,
           coalesce(event.campaign_id, nil), coalesce(event.channel, ''), coalesce(event.post_id, nil),
           bit_or(set_bit(none, (extract(epoch FROM pair.quarter)::bigint % 86400 / 900)::integer, 1))
    FROM unnest(visitors, moments) AS pair (visitor, quarter)
    JOIN public.analytics_events AS event
        ON event.organization_id = tenant AND event.xid < until AND event.visitor = pair.visitor
       AND event.occurred_at >= pair.quarter AND event.occurred_at < pair.quarter + interval '15 minutes'
    GROUP BY 2, 3, 4, 5, 6, 7
    ON CONFLICT (organization_id, day, visitor, name, campaign_id, channel, post_id)
    DO UPDATE SET quarters = mark.quarters | excluded.quarters;

    DELETE FROM public.analytics_visitors AS mark USING unnest(visitors) AS one (visitor)
    WHERE mark.organization_id = tenant AND mark.visitor = hashtextextended(one.visitor, 0)
      AND mark.quarters = none;
END $$;

-- Removes what visitors did, raw and in marks; returns the quarters in which they were, and how many raw events went.
-- Raw events of transactions below *since* are in the marks, which tell where to look.
CREATE FUNCTION app.erase_visitors(visitors text[], since xid8)
RETURNS TABLE (quarter timestamptz, events bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant constant uuid := app.sealed_tenant();
    hashes constant bigint[] := ARRAY(SELECT hashtextextended(one, 0) FROM unnest(visitors) AS one);
    places timestamptz[];
BEGIN
    WITH gone AS (
        DELETE FROM public.analytics_visitors AS mark
        WHERE mark.organization_id = tenant AND mark.visitor = ANY (hashes) RETURNING mark.day, mark.quarters
    )
    SELECT array_agg(DISTINCT (gone.day + place * interval '15 minutes') AT TIME ZONE 'UTC') INTO places
    FROM gone CROSS JOIN generate_series(0, 95) AS place WHERE get_bit(gone.quarters, place) = 1;
    RETURN QUERY
    WITH counted AS (
        DELETE FROM public.analytics_events AS event USING unnest(places) AS place (quarter)
        WHERE event.organization_id = tenant AND event.occurred_at >= place.quarter
          AND event.occurred_at < place.quarter + interval '15 minutes'
          AND event.visitor = ANY (visitors) AND event.xid < since
        RETURNING place.quarter
    ), fresh AS (
        DELETE FROM public.analytics_events AS event
        WHERE event.organization_id = tenant AND event.xid >= since AND event.visitor = ANY (visitors)
        RETURNING date_bin('15 minutes', event.occurred_at, 'epoch') AS quarter
    )
    SELECT found.quarter, sum(found.events)::bigint FROM (
        SELECT place.quarter, 0 AS events FROM unnest(places) AS place (quarter)
        UNION ALL SELECT counted.quarter, 1 FROM counted
        UNION ALL SELECT fresh.quarter, 1 FROM fresh
    ) AS found GROUP BY 1;
END $$;

-- Returns which quarters of which UTC days make up each local day.
CREATE FUNCTION app.parts_of_days(days date[], begins timestamptz[], ends timestamptz[])
RETURNS TABLE (local_day date, utc_day date, quarters bit(96))
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT local.day, utc.day::date,
           (repeat('0', within.first) || repeat('1', within.after - within.first)
            || repeat('0', 96 - within.after))::bit(96)
    FROM unnest(days, begins, ends) AS local (day, begins, ends)
    CROSS JOIN LATERAL generate_series(
        date_trunc('day', local.begins AT TIME ZONE 'UTC'),
        local.ends AT TIME ZONE 'UTC' - interval '1 microsecond', '1 day') AS utc (day)
    CROSS JOIN LATERAL (SELECT
        greatest(0, extract(epoch FROM local.begins AT TIME ZONE 'UTC' - utc.day)::integer / 900),
        least(96, extract(epoch FROM local.ends AT TIME ZONE 'UTC' - utc.day)::integer / 900)
    ) AS within (first, after)
$$;

-- Returns events and values of local days by scope, from the quarters.
CREATE FUNCTION app.count_days(days date[], begins timestamptz[], ends timestamptz[])
RETURNS TABLE (day date, dimension text, name text, member text, events bigint, value_sum double precision)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant constant uuid := app.sealed_tenant();
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    RETURN QUERY
    SELECT local.day, counted.*
    FROM unnest(days, begins, ends) AS local (day, begins, ends) CROSS JOIN LATERAL (
        SELECT scope.dimension, CASE WHEN by_name THEN bucket.name ELSE '' END, scope.member,
               sum(bucket.events)::bigint, sum(bucket.value_sum)
        FROM public.analytics_buckets AS bucket
        CROSS JOIN LATERAL (VALUES
            ('total', ''), ('campaign', nullif(bucket.campaign_id, nil)::text),
            ('channel', nullif(bucket.channel, '')), ('post', nullif(bucket.post_id, nil)::text)
        ) AS scope (dimension, member)
        CROSS JOIN (VALUES (true), (false)) AS naming (by_name)
        WHERE bucket.organization_id = tenant AND bucket.starts_at >= local.begins
          AND bucket.starts_at < local.ends AND scope.member IS NOT NULL
        GROUP BY 1, 2, 3
    ) AS counted;
END $$;

-- Returns who was there on local days, by scope, as the marks have it.
CREATE FUNCTION app.visitors_of_days(
    days date[], begins timestamptz[], ends timestamptz[], dimensions text[], namings boolean[], only_name text
) RETURNS TABLE (day date, dimension text, name text, member text, visitors bigint[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant constant uuid := app.sealed_tenant();
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
    none constant bit(96) := B'0'::bit(96);
BEGIN
    RETURN QUERY
    SELECT seen.day, seen.dimension, seen.name, seen.member, array_agg(seen.visitor) FROM (
        SELECT DISTINCT part.local_day, scope.dimension, CASE WHEN by_name THEN mark.name ELSE '' END, scope.member,
               mark.visitor
        FROM app.parts_of_days(days, begins, ends) AS part
        JOIN public.analytics_visitors AS mark
            ON mark.organization_id = tenant AND mark.day = part.utc_day AND mark.quarters & part.quarters <> none
        CROSS JOIN LATERAL (VALUES
            ('total', ''), ('campaign', nullif(mark.campaign_id, nil)::text),
            ('channel', nullif(mark.channel, '')), ('post', nullif(mark.post_id, nil)::text)
        ) AS scope (dimension, member)
        CROSS JOIN unnest(namings) AS naming (by_name)
        WHERE scope.member IS NOT NULL AND scope.dimension = ANY (dimensions)
          AND (only_name IS NULL OR mark.name = only_name)
    ) AS seen (day, dimension, name, member, visitor)
    GROUP BY 1, 2, 3, 4;
END $$;

-- Returns whom the events of [since, until) add to each local day, by scope: who was there that day already, as the
-- marks have it, is left out. Without *until* every event from *since* on.
CREATE FUNCTION app.gained_visitors(
    since xid8, until xid8, days date[], begins timestamptz[], ends timestamptz[],
    dimensions text[], namings boolean[], only_name text
) RETURNS TABLE (day date, dimension text, name text, member text, visitors bigint[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant constant uuid := app.sealed_tenant();
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
    none constant bit(96) := B'0'::bit(96);
BEGIN
    RETURN QUERY
    WITH fresh AS MATERIALIZED (
        SELECT DISTINCT days[width_bucket(event.occurred_at, begins)] AS day,
               hashtextextended(event.visitor, 0) AS visitor, event.name,
               event.campaign_id::text AS campaign, event.channel, event.post_id::text AS post
        FROM public.analytics_events AS event
        WHERE event.organization_id = tenant AND event.xid >= since AND (until IS NULL OR event.xid < until)
          AND event.occurred_at >= begins[1]
          AND event.occurred_at < ends[width_bucket(event.occurred_at, begins)] -- not between two of the days
          AND event.visitor IS NOT NULL AND (only_name IS NULL OR event.name = only_name)
    ), part AS MATERIALIZED (
        SELECT part.*
        FROM (
            SELECT array_agg(local.day) AS days, array_agg(local.begins) AS begins, array_agg(local.ends) AS ends
            FROM unnest(days, begins, ends) AS local (day, begins, ends)
            WHERE local.day IN (SELECT fresh.day FROM fresh)
        ) AS touched
        CROSS JOIN LATERAL app.parts_of_days(touched.days, touched.begins, touched.ends) AS part
    ), known AS MATERIALIZED (
        SELECT part.local_day AS day, mark.visitor, mark.name, nullif(mark.campaign_id, nil)::text AS campaign,
               nullif(mark.channel, '') AS channel, nullif(mark.post_id, nil)::text AS post
        FROM (SELECT DISTINCT fresh.day, fresh.visitor FROM fresh) AS candidate
        JOIN part ON part.local_day = candidate.day
        -- Looked up one by one: joined otherwise, before statistics exist, every mark of the day would be compared
        -- with every candidate.
        CROSS JOIN LATERAL (
            SELECT own.visitor, own.name, own.campaign_id, own.channel, own.post_id
            FROM public.analytics_visitors AS own
            WHERE own.organization_id = tenant AND own.day = part.utc_day AND own.visitor = candidate.visitor
              AND own.quarters & part.quarters <> none
            OFFSET 0
        ) AS mark
    )
    SELECT gained.day, gained.dimension, gained.name, gained.member, array_agg(gained.visitor) FROM (
        SELECT event.day, scope.dimension, CASE WHEN by_name THEN event.name ELSE '' END, scope.member, event.visitor
        FROM fresh AS event
        CROSS JOIN LATERAL (VALUES
            ('total', ''), ('campaign', event.campaign), ('channel', event.channel), ('post', event.post)
        ) AS scope (dimension, member)
        CROSS JOIN unnest(namings) AS naming (by_name)
        WHERE scope.member IS NOT NULL AND scope.dimension = ANY (dimensions)
        EXCEPT
        SELECT known.day, scope.dimension, CASE WHEN by_name THEN known.name ELSE '' END, scope.member, known.visitor
        FROM known
        CROSS JOIN LATERAL (VALUES
            ('total', ''), ('campaign', known.campaign), ('channel', known.channel), ('post', known.post)
        ) AS scope (dimension, member)
        CROSS JOIN unnest(namings) AS naming (by_name)
        WHERE scope.member IS NOT NULL AND scope.dimension = ANY (dimensions)
    ) AS gained (day, dimension, name, member, visitor)
    GROUP BY 1, 2, 3, 4;
END $$;

-- Returns what local days have in one dimension, to the last committed event: what is rolled up, and beside it what is
-- not. *seen* holds visitors that no sketch of the answer has; without *counts_visitors* nobody looks for them. In another zone than the days are kept in, they are
-- made from quarters and marks.
CREATE FUNCTION app.read_days(
    zone text, days date[], begins timestamptz[], ends timestamptz[], dimension text, naming boolean, only_name text,
    counts_visitors boolean
) RETURNS TABLE (
    day date, name text, member text, events bigint, value_sum double precision, visitors bigint, sketch bytea,
    seen bigint[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant constant uuid := app.sealed_tenant();
    wanted constant text := dimension;
    since xid8;
    kept_zone text;
BEGIN
    SELECT mark.xid, mark.time_zone INTO since, kept_zone FROM public.analytics_watermarks AS mark
    WHERE mark.organization_id = tenant AND mark.rollup = 'quarter_hours';
    since := coalesce(since, '0');
    IF kept_zone = zone THEN
        RETURN QUERY
        SELECT kept.day, kept.name, kept.member, kept.events, kept.value_sum, kept.visitors,
               CASE WHEN counts_visitors THEN kept.sketch END, NULL::bigint[]
        FROM public.analytics_days AS kept
        WHERE kept.organization_id = tenant AND kept.dimension = wanted
          AND kept.day >= days[1] AND kept.day <= days[cardinality(days)]
          AND (kept.name <> '') = naming AND (only_name IS NULL OR kept.name = only_name);
    ELSIF kept_zone IS NOT NULL THEN
        RETURN QUERY
        SELECT made.day, made.name, made.member, made.events, made.value_sum, 0::bigint, NULL::bytea, NULL::bigint[]
        FROM app.count_days(days, begins, ends) AS made
        WHERE made.dimension = wanted AND (made.name <> '') = naming AND (only_name IS NULL OR made.name = only_name)
        UNION ALL
        SELECT made.day, made.name, made.member, 0, 0, cardinality(made.visitors), NULL, made.visitors
        FROM app.visitors_of_days(days, begins, ends, ARRAY[wanted], ARRAY[naming], only_name) AS made
        WHERE counts_visitors;
    END IF;
    RETURN QUERY
    SELECT days[width_bucket(event.occurred_at, begins)], CASE WHEN naming THEN event.name ELSE '' END,
           scope.member, count(*), coalesce(sum(event.value), 0), 0::bigint, NULL::bytea, NULL::bigint[]
    FROM public.analytics_events AS event
    CROSS JOIN LATERAL (SELECT CASE wanted WHEN 'campaign' THEN event.campaign_id::text WHEN 'channel' THEN event.channel
        WHEN 'post' THEN event.post_id::text ELSE '' END) AS scope (member)
    WHERE event.organization_id = tenant AND event.xid >= since
      AND event.occurred_at >= begins[1] AND event.occurred_at < ends[cardinality(ends)]
      AND (only_name IS NULL OR event.name = only_name) AND scope.member IS NOT NULL
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT gained.day, gained.name, gained.member, 0, 0, cardinality(gained.visitors), NULL, gained.visitors
    FROM app.gained_visitors(since, NULL, days, begins, ends, ARRAY[wanted], ARRAY[naming], only_name) AS gained
    WHERE counts_visitors;
END $$;

-- Returns what quarters have in one dimension, to the last committed event.
CREATE FUNCTION app.read_quarters(
    from_moment timestamptz, to_moment timestamptz, dimension text, naming boolean, only_name text,
    counts_visitors boolean
) RETURNS TABLE (
    starts_at timestamptz, name text, member text, events bigint, value_sum double precision, visitors bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant constant uuid := app.sealed_tenant();
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
    wanted constant text := dimension;
    quarter constant interval := '15 minutes';
    since constant xid8 := coalesce((
        SELECT mark.xid FROM public.analytics_watermarks AS mark
        WHERE mark.organization_id = tenant AND mark.rollup = 'quarter_hours'), '0');
BEGIN
    RETURN QUERY
    WITH fresh AS MATERIALIZED (
        SELECT date_bin(quarter, event.occurred_at, 'epoch') AS starts_at, event.name,
               CASE wanted WHEN 'campaign' THEN event.campaign_id::text WHEN 'channel' THEN event.channel
                    WHEN 'post' THEN event.post_id::text ELSE '' END AS member,
               hashtextextended(event.visitor, 0) AS visitor, event.value
        FROM public.analytics_events AS event
        WHERE event.organization_id = tenant AND event.xid >= since
          AND event.occurred_at >= from_moment AND event.occurred_at < to_moment
    ), counted AS (
        SELECT bucket.starts_at, bucket.name,
               CASE wanted WHEN 'campaign' THEN nullif(bucket.campaign_id, nil)::text
                    WHEN 'channel' THEN nullif(bucket.channel, '')
                    WHEN 'post' THEN nullif(bucket.post_id, nil)::text ELSE '' END AS member,
               bucket.events, bucket.value_sum
        FROM public.analytics_buckets AS bucket
        WHERE bucket.organization_id = tenant AND bucket.starts_at >= from_moment AND bucket.starts_at < to_moment
        UNION ALL
        SELECT fresh.starts_at, fresh.name, fresh.member, 1, coalesce(fresh.value, 0) FROM fresh
    ), seen AS (
        SELECT (mark.day + place * quarter) AT TIME ZONE 'UTC' AS starts_at, mark.name,
               CASE wanted WHEN 'campaign' THEN nullif(mark.campaign_id, nil)::text
                    WHEN 'channel' THEN nullif(mark.channel, '')
                    WHEN 'post' THEN nullif(mark.post_id, nil)::text ELSE '' END AS member,
               mark.visitor
        FROM public.analytics_visitors AS mark
        -- From the first to the last quarter only: most visitors come once.
        CROSS JOIN LATERAL generate_series(
            position('1' IN mark.quarters::text) - 1, 96 - position('1' IN reverse(mark.quarters::text))) AS place
        WHERE counts_visitors AND mark.organization_id = tenant AND get_bit(mark.quarters, place) = 1
          AND mark.day >= (from_moment AT TIME ZONE 'UTC')::date
          AND mark.day <= (to_moment AT TIME ZONE 'UTC')::date
        UNION
        SELECT fresh.starts_at, fresh.name, fresh.member, fresh.visitor
        FROM fresh WHERE counts_visitors AND fresh.visitor IS NOT NULL
    ), totals AS (
        SELECT counted.starts_at, CASE WHEN naming THEN counted.name ELSE '' END AS name, counted.member,
               sum(counted.events)::bigint AS events, sum(counted.value_sum) AS value_sum
        FROM counted WHERE counted.member IS NOT NULL AND (only_name IS NULL OR counted.name = only_name)
        GROUP BY 1, 2, 3
    ), uniques AS (
        SELECT seen.starts_at, CASE WHEN naming THEN seen.name ELSE '' END AS name, seen.member,
               count(DISTINCT seen.visitor) AS visitors
        FROM seen WHERE seen.member IS NOT NULL AND (only_name IS NULL OR seen.name = only_name)
        GROUP BY 1, 2, 3
    )
    SELECT totals.*, coalesce(uniques.visitors, 0)
    FROM totals LEFT JOIN uniques USING (starts_at, name, member)
    ORDER BY 1, 2, 3;
END $$;

REVOKE ALL ON FUNCTION app.recount_quarters, app.mark_visitors, app.mark_again, app.erase_visitors, app.parts_of_days, app.count_days,
    app.visitors_of_days, app.gained_visitors, app.read_days, app.read_quarters FROM PUBLIC, genius_relay;

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
