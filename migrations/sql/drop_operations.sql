DROP FUNCTION app.trace_jobs;
REVOKE SELECT (request_id) ON public.jobs FROM genius_relay;
ALTER TABLE public.jobs DROP COLUMN traceparent;
ALTER TABLE public.job_history DROP COLUMN traceparent;
