-- Plan quota: reserve with the job, commit or release with its end. Called inside a bound transaction;
-- every function runs with the caller's rights, so row-level security confines it to the tenant.

-- Takes *wanted* of a meter from its period, or raises GQ001 naming the meter.
-- The conditional update is the lock: concurrent callers queue on the row and re-check the ceiling.
CREATE OR REPLACE FUNCTION app.reserve_quota(
    tenant uuid, wanted_meter text, wanted bigint, starts timestamptz, ends timestamptz, amount bigint, ceiling bigint
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.quota_periods AS period (
        organization_id, meter, period_start, period_end, amount, ceiling, used, reserved)
    VALUES (tenant, wanted_meter, starts, ends, reserve_quota.amount, reserve_quota.ceiling, 0, 0)
    ON CONFLICT DO NOTHING;

    UPDATE public.quota_periods AS period
    SET reserved = period.reserved + wanted, amount = reserve_quota.amount, ceiling = reserve_quota.ceiling
    WHERE period.organization_id = tenant AND period.meter = wanted_meter AND period.period_start = starts
      AND (reserve_quota.ceiling IS NULL OR period.used + period.reserved + wanted <= reserve_quota.ceiling);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'quota of % is used up', wanted_meter
            USING ERRCODE = 'GQ001', DETAIL = json_build_object(
                'meter', wanted_meter, 'limit', reserve_quota.amount, 'resets_at', ends)::text;
    END IF;
END $$;

-- Gives back what a job holds.
CREATE OR REPLACE FUNCTION app.release_quota(tenant uuid, job uuid)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH settled AS (
        UPDATE public.quota_reservations
        SET state = 'released'
        WHERE organization_id = tenant AND job_id = job AND state = 'held'
        RETURNING meter, period_start, quantity
    )
    UPDATE public.quota_periods AS period
    SET reserved = period.reserved - settled.quantity
    FROM settled
    WHERE period.organization_id = tenant AND period.meter = settled.meter
      AND period.period_start = settled.period_start
$$;
