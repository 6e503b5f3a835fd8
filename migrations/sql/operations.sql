-- What ties a job to the trace that it belongs to, so that it stays in it however often it is tried and whatever
-- becomes of Redis.

-- Writes down which spans jobs of the tenant belong to, before they are published. Arrays run in parallel.
CREATE FUNCTION app.trace_jobs(seal text, jobs uuid[], traceparents text[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    tenant uuid := app.bind(seal);
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE public.jobs AS row SET traceparent = item.traceparent
    FROM unnest(jobs, traceparents) AS item(job, traceparent)
    WHERE row.organization_id = tenant AND row.id = item.job;
END $$;

GRANT UPDATE (traceparent) ON public.jobs TO genius_app;
GRANT SELECT (request_id, traceparent) ON public.jobs TO genius_relay;
