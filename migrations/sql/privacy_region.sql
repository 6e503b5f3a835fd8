-- An organization's region is decided when it is made, and stays: to move, export it there and erase it here.
CREATE FUNCTION app.keep_region() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'an organization stays in its region' USING ERRCODE = '42501';
END $$;
REVOKE ALL ON FUNCTION app.keep_region FROM PUBLIC, genius_app, genius_relay;
CREATE TRIGGER kept_in_region BEFORE UPDATE OF region ON public.organizations FOR EACH ROW
    WHEN (OLD.region IS DISTINCT FROM NEW.region) EXECUTE FUNCTION app.keep_region();

SELECT app.protect('public.organizations');
SELECT app.protect_relay('public.organizations',
    ARRAY['organization_id', 'status', 'plan', 'plan_overrides', 'region']);

-- What a request or a job needs to know of its organization, in one round trip. Processes of the version before call
-- app.load_tenant, and would not know what to do with a region: it stays until none of them is left.
CREATE FUNCTION app.find_tenant(seal text)
RETURNS TABLE (
    organization_id uuid, name text, status text, plan text, plan_overrides jsonb, time_zone text,
    billing_anchor date, region text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_seal', seal, true);
    RETURN QUERY
    SELECT organization.organization_id, organization.name, organization.status, organization.plan,
           organization.plan_overrides, organization.time_zone,
           coalesce(subscription.anchor_date, (organization.created_at AT TIME ZONE organization.time_zone)::date),
           organization.region
    FROM public.organizations AS organization
    LEFT JOIN public.subscriptions AS subscription
        ON subscription.organization_id = organization.organization_id AND subscription.status <> 'cancelled'
    WHERE organization.organization_id = app.sealed_tenant() AND organization.deleted_at IS NULL;
END $$;
REVOKE ALL ON FUNCTION app.find_tenant FROM PUBLIC, genius_relay;
