-- Undoes revision 0002.
DROP FUNCTION app.requeue_lapsed, app.retry_job, app.cancel_job, app.renew_leases, app.republish_job, app.fail_job,
    app.complete_job, app.claim_job, app.end_job, app.mark_published, app.submit_jobs, app.bind,
    app.release_quota, app.commit_quota, app.reserve_quota;
DROP TABLE app.relay_state;
DROP POLICY relay ON public.organizations;
REVOKE ALL (organization_id, status, plan, plan_overrides) ON public.organizations FROM genius_relay;
DROP TABLE public.usage_ledger, public.quota_reservations, public.quota_periods, public.idempotency_keys,
    public.dead_letters, public.outbox, public.job_leases, public.job_events, public.jobs;
