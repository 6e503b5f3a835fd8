-- Domains of an organization's own. The domain itself is never changed: another one is another proof.

SELECT app.protect('public.custom_domains');
REVOKE UPDATE ON public.custom_domains FROM genius_app;
GRANT UPDATE (verified_at, checked_at, updated_at) ON public.custom_domains TO genius_app;

CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF verified_at ON public.custom_domains FOR EACH ROW
    EXECUTE FUNCTION app.audit_change('domain', 'verified_at');
