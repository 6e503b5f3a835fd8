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

REVOKE ALL ON FUNCTION app.recount_quarters, app.mark_visitors, app.mark_again, app.erase_visitors,
    app.parts_of_days, app.count_days, app.visitors_of_days, app.gained_visitors FROM PUBLIC, genius_relay;
