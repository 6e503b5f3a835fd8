-- Policies and grants of recurring schedules.

SELECT app.protect('public.schedules');
SELECT app.protect('public.schedule_runs');

-- A beat finds across tenants what is due; it fires each schedule bound to its tenant.
SELECT app.protect_relay('public.schedules',
    ARRAY['organization_id', 'id', 'platform', 'kind', 'paused', 'next_nominal', 'buffered_nominal']);
SELECT app.protect_relay('public.schedule_runs', ARRAY['organization_id', 'schedule_id', 'open', 'job_id']);
