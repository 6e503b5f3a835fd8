-- Takes back what quota_accounting.sql and its revision made; quota.sql puts the former functions in place again.

DROP TRIGGER ceilings ON public.organizations;
DROP TRIGGER alerts ON public.quota_periods;
DROP FUNCTION app.quota_drift, app.lift_ceilings, app.raise_usage_alert, app.expire_holds, app.record_usage,
    app.commit_hold, app.hold_quota, app.refuse_use, app.open_period;
DROP TABLE public.usage_alerts, public.worker_time_marks;
