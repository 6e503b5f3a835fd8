-- Undoes what operators.sql did.
DROP POLICY relay ON public.dead_letters;
REVOKE SELECT (organization_id, job_id, kind, fingerprint, died_at) ON public.dead_letters FROM genius_relay;
