-- Policies and grants of the tables around jobs and quota.

SELECT app.protect(name::regclass) FROM unnest(ARRAY[
    'public.jobs', 'public.job_leases', 'public.quota_periods', 'public.quota_reservations'
]) AS name;
SELECT app.protect(name::regclass, ARRAY['select', 'insert', 'delete']) FROM unnest(ARRAY[
    'public.outbox', 'public.dead_letters', 'public.idempotency_keys', 'public.job_waits', 'public.job_expiries'
]) AS name;
SELECT app.protect(name::regclass, ARRAY['select', 'insert']) FROM unnest(ARRAY[
    'public.job_events', 'public.usage_ledger'
]) AS name;

SELECT app.protect_relay('public.organizations', ARRAY['organization_id', 'status', 'plan', 'plan_overrides']);
SELECT app.protect_relay('public.jobs',
    ARRAY['organization_id', 'id', 'kind', 'lane', 'state', 'attempt', 'priority', 'run_at'], ARRAY['state', 'run_at']);
SELECT app.protect_relay('public.job_leases',
    ARRAY['organization_id', 'job_id', 'attempt', 'leased_until'], removable => true);
SELECT app.protect_relay('public.outbox',
    ARRAY['organization_id', 'job_id', 'attempt', 'kind', 'lane', 'priority', 'due_at', 'created_at'],
    insertable => ARRAY['organization_id', 'job_id', 'attempt', 'kind', 'lane', 'priority'], removable => true);
SELECT app.protect_relay('public.job_events', '{}',
    insertable => ARRAY['organization_id', 'job_id', 'id', 'attempt', 'state', 'detail']);
SELECT app.protect_relay('public.job_waits', ARRAY['organization_id', 'job_id']);
SELECT app.protect_relay('public.job_expiries', ARRAY['organization_id', 'expires_at']);
SELECT app.protect_relay('public.quota_reservations', ARRAY['organization_id', 'job_id', 'state']);
