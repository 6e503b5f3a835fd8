-- What operators find across tenants: whose jobs died, of which kind and how lately; never of what.
SELECT app.protect_relay('public.dead_letters',
    ARRAY['organization_id', 'job_id', 'kind', 'fingerprint', 'died_at']);
