-- Undoes revision 0001, which made everything in the schema app.
DROP VIEW public.live_users, public.live_social_accounts, public.live_campaigns, public.live_leads,
    public.live_content_assets, public.live_social_posts;
DROP TABLE public.analytics_buckets, public.analytics_watermarks, public.analytics_event_keys,
    public.analytics_events, public.audit_heads, public.audit_log, public.settings, public.subscriptions,
    public.social_posts, public.content_assets, public.lead_events, public.leads, public.campaigns,
    public.social_accounts, public.users, public.organizations CASCADE;
DROP SCHEMA app CASCADE;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
REVOKE ALL ON SCHEMA public FROM genius_app, genius_relay;
