-- What a request or a job needs to know of its organization, in one round trip.
CREATE FUNCTION app.load_tenant(seal text)
RETURNS TABLE (
    organization_id uuid, name text, status text, plan text, plan_overrides jsonb, time_zone text,
    billing_anchor date)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_seal', seal, true);
    RETURN QUERY
    SELECT organization.organization_id, organization.name, organization.status, organization.plan,
           organization.plan_overrides, organization.time_zone,
           coalesce(subscription.anchor_date, (organization.created_at AT TIME ZONE organization.time_zone)::date)
    FROM public.organizations AS organization
    LEFT JOIN public.subscriptions AS subscription
        ON subscription.organization_id = organization.organization_id AND subscription.status <> 'cancelled'
    WHERE organization.organization_id = app.sealed_tenant() AND organization.deleted_at IS NULL;
END $$;
REVOKE ALL ON FUNCTION app.load_tenant FROM PUBLIC, genius_relay;
