-- Quota in full: periods that follow on one another, holds of whoever is no job, use without a hold, alerts, the sweep.
-- Called inside a bound transaction; every function runs with the caller's rights, so row-level security confines it.
-- Rows are locked in one order everywhere: what holds before its period, periods by meter.

SELECT app.protect('public.quota_periods'), app.protect('public.quota_reservations'),
    app.protect('public.worker_time_marks', ARRAY['select', 'insert', 'update']),
    app.protect('public.usage_alerts', ARRAY['select', 'insert']);
SELECT app.protect_relay('public.quota_reservations', ARRAY['organization_id', 'job_id', 'state', 'expires_at']);
SELECT app.protect_relay('public.quota_periods', ARRAY['organization_id', 'meter', 'period_start', 'drift']);

-- Sees that the period of a meter is there. One that was cut short by another zone or another anchor hands what it has
-- used, and what is held of it, to the one that takes its place: a change of either never makes room.
CREATE FUNCTION app.open_period(
    tenant uuid, of_meter text, starts timestamptz, ends timestamptz, amount bigint, ceiling bigint
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM public.quota_periods AS period
    WHERE period.organization_id = tenant AND period.meter = of_meter AND period.period_start = starts;
    IF NOT FOUND THEN
        INSERT INTO public.quota_periods (
            organization_id, meter, period_start, period_end, amount, ceiling, used, reserved, carried)
        SELECT tenant, of_meter, starts, ends, open_period.amount, open_period.ceiling, total.used, 0, total.used
        FROM (
            SELECT coalesce(sum(other.used - other.carried + other.reserved), 0)::bigint AS used
            FROM public.quota_periods AS other
            WHERE other.organization_id = tenant AND other.meter = of_meter
              AND other.period_start < ends AND other.period_end > starts
        ) AS total
        ON CONFLICT DO NOTHING;
    END IF;
END $$;

CREATE FUNCTION app.refuse_use(of_meter text, amount bigint, ends timestamptz)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'quota of % is used up', of_meter
        USING ERRCODE = 'GQ001', DETAIL = json_build_object('meter', of_meter, 'limit', amount, 'resets_at', ends)::text;
END $$;

-- Takes *wanted* of a meter from its period, or raises GQ001 naming the meter.
-- The conditional update is the lock: concurrent callers queue on the row and re-check the ceiling.
-- Worker time is known only once it is spent: while none is left, no job begins, which each shows by reserving itself.
CREATE OR REPLACE FUNCTION app.reserve_quota(
    tenant uuid, wanted_meter text, wanted bigint, starts timestamptz, ends timestamptz, amount bigint, ceiling bigint
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    spent bigint;
BEGIN
    PERFORM app.open_period(tenant, wanted_meter, starts, ends, amount, ceiling);
    UPDATE public.quota_periods AS period
    SET reserved = period.reserved + wanted, amount = reserve_quota.amount, ceiling = reserve_quota.ceiling
    WHERE period.organization_id = tenant AND period.meter = wanted_meter AND period.period_start = starts
      AND (reserve_quota.ceiling IS NULL OR period.used + period.reserved + wanted <= reserve_quota.ceiling);
    IF NOT FOUND THEN
        PERFORM app.refuse_use(wanted_meter, amount, ends);
    END IF;
    IF wanted_meter = 'jobs_month' THEN
        SELECT period.amount INTO spent FROM public.quota_periods AS period
        WHERE period.organization_id = tenant AND period.meter = 'worker_seconds_month'
          AND period.period_start = starts AND period.used >= period.ceiling;
        IF FOUND THEN
            PERFORM app.refuse_use('worker_seconds_month', spent, ends);
        END IF;
    END IF;
END $$;

-- Holds *wanted* of a meter for *holder*, who is no job, until a moment; answers false if it holds some already.
CREATE FUNCTION app.hold_quota(
    tenant uuid, holder uuid, wanted_meter text, wanted bigint, starts timestamptz, ends timestamptz, amount bigint,
    ceiling bigint, until timestamptz
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.quota_reservations (
        organization_id, job_id, meter, period_start, quantity, state, expires_at)
    VALUES (tenant, holder, wanted_meter, starts, wanted, 'held', until)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM app.reserve_quota(tenant, wanted_meter, wanted, starts, ends, amount, ceiling);
    RETURN true;
END $$;

-- Turns what *holder* holds of a meter into use: *really*, or all of it. Answers in which state it was found: `held`
-- means that it counts now, `committed` that it did before; NULL or anything else, that nothing is held any more.
-- Raises GQ002 when more was used than is held.
CREATE FUNCTION app.commit_hold(tenant uuid, holder uuid, of_meter text, really bigint) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    hold public.quota_reservations;
BEGIN
    SELECT * INTO hold FROM public.quota_reservations AS row
    WHERE row.organization_id = tenant AND row.job_id = holder AND row.meter = of_meter FOR UPDATE;
    IF hold.state IS DISTINCT FROM 'held' THEN
        RETURN hold.state;
    ELSIF really > hold.quantity THEN
        RAISE EXCEPTION 'more was used of % than is held', of_meter
            USING ERRCODE = 'GQ002', DETAIL = json_build_object('meter', of_meter, 'held', hold.quantity)::text;
    END IF;
    UPDATE public.quota_reservations AS row SET state = 'committed'
    WHERE row.organization_id = tenant AND row.job_id = holder AND row.meter = of_meter;
    INSERT INTO public.usage_ledger (organization_id, job_id, meter, period_start, quantity)
    VALUES (tenant, holder, of_meter, hold.period_start, coalesce(really, hold.quantity));
    UPDATE public.quota_periods AS period
    SET reserved = period.reserved - hold.quantity, used = period.used + coalesce(really, hold.quantity)
    WHERE period.organization_id = tenant AND period.meter = of_meter AND period.period_start = hold.period_start;
    RETURN 'held';
END $$;

-- Records use at once, one record a source and meter; answers false if there is one already.
-- With *enforced* it raises GQ001 where the ceiling would be passed; without, what is spent is spent.
CREATE FUNCTION app.record_usage(
    tenant uuid, source uuid, of_meter text, quantity bigint, starts timestamptz, ends timestamptz, amount bigint,
    ceiling bigint, enforced boolean
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.usage_ledger (organization_id, job_id, meter, period_start, quantity)
    VALUES (tenant, source, of_meter, starts, record_usage.quantity)
    ON CONFLICT (organization_id, job_id, meter) DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM app.open_period(tenant, of_meter, starts, ends, amount, ceiling);
    UPDATE public.quota_periods AS period
    SET used = period.used + record_usage.quantity, amount = record_usage.amount, ceiling = record_usage.ceiling
    WHERE period.organization_id = tenant AND period.meter = of_meter AND period.period_start = starts
      AND (NOT enforced OR record_usage.ceiling IS NULL
           OR period.used + period.reserved + record_usage.quantity <= record_usage.ceiling);
    IF NOT FOUND THEN
        PERFORM app.refuse_use(of_meter, amount, ends);
    END IF;
    RETURN true;
END $$;

-- Gives back what nobody can use any more: what is held until a moment that has passed, and what belongs to jobs that
-- ended without success or are gone. A job gives its holds back when it ends, so of these there are only what a defect
-- left. What a post holds that may be out is kept. Answers how many.
CREATE FUNCTION app.expire_holds(tenant uuid) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    expired bigint;
BEGIN
    WITH lapsed AS (
        UPDATE public.quota_reservations AS hold SET state = 'expired'
        WHERE hold.organization_id = tenant AND hold.state = 'held'
          AND CASE WHEN hold.expires_at IS NOT NULL THEN hold.expires_at <= clock_timestamp()
              ELSE NOT EXISTS (
                  SELECT FROM public.jobs AS job
                  WHERE job.organization_id = tenant AND job.id = hold.job_id AND job.state NOT IN ('dead', 'cancelled'))
              AND NOT EXISTS (
                  SELECT FROM public.social_posts AS post
                  WHERE post.organization_id = tenant AND (post.job_id = hold.job_id OR post.id = hold.job_id)
                    AND post.state IN ('publishing', 'unknown')) END
        RETURNING hold.meter, hold.period_start, hold.quantity
    ), freed AS (
        UPDATE public.quota_periods AS period SET reserved = period.reserved - total.quantity
        FROM (
            SELECT lapsed.meter, lapsed.period_start, sum(lapsed.quantity)::bigint AS quantity
            FROM lapsed GROUP BY lapsed.meter, lapsed.period_start ORDER BY lapsed.meter
        ) AS total
        WHERE period.organization_id = tenant AND period.meter = total.meter
          AND period.period_start = total.period_start
    )
    SELECT count(*) INTO expired FROM lapsed;
    -- Holds of jobs go with their job; these have nobody to go with.
    DELETE FROM public.quota_reservations AS hold
    WHERE hold.organization_id = tenant AND hold.state <> 'held' AND hold.expires_at < clock_timestamp() - interval '2 days';
    RETURN expired;
END $$;

-- Raises an alert when use reaches 80 and 100 percent of a limit: each once a period, whoever writes the use.
CREATE FUNCTION app.raise_usage_alert() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.alerted_percent := CASE WHEN NEW.used >= NEW.amount THEN 100 ELSE 80 END;
    INSERT INTO public.usage_alerts (organization_id, meter, period_start, period_end, threshold, amount, used)
    VALUES (
        NEW.organization_id, NEW.meter, NEW.period_start, NEW.period_end, NEW.alerted_percent, NEW.amount, NEW.used)
    ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;
CREATE TRIGGER alerts BEFORE UPDATE OF used, amount ON public.quota_periods FOR EACH ROW
    WHEN (NEW.used > 0 AND NEW.alerted_percent < 100
        AND NEW.used * 100 >= NEW.amount * CASE WHEN NEW.alerted_percent < 80 THEN 80 ELSE 100 END)
    EXECUTE FUNCTION app.raise_usage_alert();

-- After a change of plan nothing is known of a ceiling that only accounting writes: none holds until it has run again.
CREATE FUNCTION app.lift_ceilings() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.quota_periods AS period SET amount = NULL, ceiling = NULL
    WHERE period.organization_id = NEW.organization_id AND period.meter = 'worker_seconds_month'
      AND period.period_end > clock_timestamp();
    RETURN NULL;
END $$;
CREATE TRIGGER ceilings AFTER UPDATE OF plan, plan_overrides ON public.organizations FOR EACH ROW
    WHEN (OLD.plan <> NEW.plan OR OLD.plan_overrides <> NEW.plan_overrides)
    EXECUTE FUNCTION app.lift_ceilings();

-- Tells by how much periods had drifted from ledger and holds when they were mended, of all tenants together.
CREATE FUNCTION app.quota_drift(OUT meter text, OUT drift bigint) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT period.meter, sum(period.drift)::bigint FROM public.quota_periods AS period GROUP BY period.meter
$$;
