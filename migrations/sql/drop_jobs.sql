-- Undoes revision 0002.
DROP FUNCTION app.complete_held_jobs, app.hold_jobs, app.settle_success, app.commit_quota, app.requeue_lapsed,
    app.requeue_dead, app.revive_jobs, app.expire_jobs, app.expire_waiting, app.release_dependents,
    app.fingerprint, app.find_predecessors, app.retry_job, app.cancel_job, app.renew_leases,
    app.republish_job, app.fail_job, app.complete_jobs, app.claim_jobs, app.refuse_job, app.put_aside,
    app.end_job, app.mark_published, app.submit_jobs, app.bind, app.release_quota, app.reserve_quota;
DROP TABLE app.relay_state;
DROP POLICY relay ON public.organizations;
REVOKE ALL (organization_id, status, plan, plan_overrides) ON public.organizations FROM genius_relay;
DROP FUNCTION app.find_past_job, app.archive_jobs, app.forget_jobs, app.turn_history, app.first_id;
DROP TABLE public.job_history, public.job_expiries, public.job_waits, public.usage_ledger,
    public.quota_reservations, public.quota_periods, public.idempotency_keys, public.dead_letters,
    public.outbox, public.job_leases, public.job_events, public.jobs;
