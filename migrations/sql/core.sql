-- Policies, live views and audited columns of the core tables.

SELECT app.protect(name::regclass) FROM unnest(ARRAY[
    'public.organizations', 'public.users', 'public.social_accounts', 'public.campaigns', 'public.leads',
    'public.content_assets', 'public.social_posts', 'public.subscriptions', 'public.settings',
    'public.analytics_watermarks', 'public.analytics_buckets'
]) AS name;
SELECT app.protect('public.lead_events', ARRAY['select', 'insert', 'delete']);

-- Rows that are not soft-deleted. With the caller's rights: a plain view would read with its owner's.
CREATE VIEW public.live_users WITH (security_invoker = true) AS
    SELECT * FROM public.users WHERE deleted_at IS NULL;
CREATE VIEW public.live_social_accounts WITH (security_invoker = true) AS
    SELECT * FROM public.social_accounts WHERE deleted_at IS NULL;
CREATE VIEW public.live_campaigns WITH (security_invoker = true) AS
    SELECT * FROM public.campaigns WHERE deleted_at IS NULL;
CREATE VIEW public.live_leads WITH (security_invoker = true) AS
    SELECT * FROM public.leads WHERE deleted_at IS NULL;
CREATE VIEW public.live_content_assets WITH (security_invoker = true) AS
    SELECT * FROM public.content_assets WHERE deleted_at IS NULL;
CREATE VIEW public.live_social_posts WITH (security_invoker = true) AS
    SELECT * FROM public.social_posts WHERE deleted_at IS NULL;
GRANT SELECT ON public.live_users, public.live_social_accounts, public.live_campaigns, public.live_leads,
    public.live_content_assets, public.live_social_posts TO genius_app;

-- Columns whose values may stand in the log; tokens and addresses of people may not.
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF name, status, plan, plan_overrides, deleted_at
    ON public.organizations FOR EACH ROW
    EXECUTE FUNCTION app.audit_change('name', 'status', 'plan', 'plan_overrides', 'deleted_at');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF role, status, deleted_at
    ON public.users FOR EACH ROW EXECUTE FUNCTION app.audit_change('role', 'status', 'deleted_at');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF platform, handle, status, deleted_at
    ON public.social_accounts FOR EACH ROW
    EXECUTE FUNCTION app.audit_change('platform', 'handle', 'status', 'deleted_at');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF plan, status, anchor_date, ends_at
    ON public.subscriptions FOR EACH ROW
    EXECUTE FUNCTION app.audit_change('plan', 'status', 'anchor_date', 'ends_at');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF value
    ON public.settings FOR EACH ROW EXECUTE FUNCTION app.audit_change('value');
