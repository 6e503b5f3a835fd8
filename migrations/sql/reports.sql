-- Reports are snapshots and attempts are a log: the application may add to both and change neither.

SELECT app.protect('public.reports', ARRAY['select', 'insert']);
SELECT app.protect('public.delivery_attempts', ARRAY['select', 'insert']);
SELECT app.protect(name::regclass, ARRAY['select', 'insert', 'update']) FROM unnest(ARRAY[
    'public.alerts', 'public.webhook_endpoints', 'public.email_recipients', 'public.alert_deliveries'
]) AS name;

-- Who is told, and whether; the address and the secrets are nothing for a log.
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF url, paused, deleted_at
    ON public.webhook_endpoints FOR EACH ROW
    EXECUTE FUNCTION app.audit_change('url', 'paused', 'deleted_at');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF paused, deleted_at
    ON public.email_recipients FOR EACH ROW EXECUTE FUNCTION app.audit_change('paused', 'deleted_at');
