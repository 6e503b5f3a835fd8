-- How days and quarters are read: what is rolled up, and beside it what is not yet. With the caller's rights.

-- Returns what local days have in one dimension, to the last committed event. *seen* holds visitors that no sketch of
-- the answer has; without *counts_visitors* nobody looks for them. In another zone than the days are kept in, they are
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

REVOKE ALL ON FUNCTION app.read_days, app.read_quarters FROM PUBLIC, genius_relay;
