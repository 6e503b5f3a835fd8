-- Who may call: API keys, revoked tokens, and how a caller stands right now.

SELECT app.protect(name::regclass, ARRAY['select', 'insert', 'update']) FROM unnest(ARRAY['public.api_keys']) AS name;
SELECT app.protect('public.revocations');
SELECT app.protect('public.organization_stops');

-- What a key may and until when; its hashes are nothing for a log.
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF name, scopes, expires_at, rotated_at, revoked_at
    ON public.api_keys FOR EACH ROW
    EXECUTE FUNCTION app.audit_change('name', 'scopes', 'expires_at', 'rotated_at', 'revoked_at');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OF issued_before, expires_at, reason
    ON public.revocations FOR EACH ROW
    EXECUTE FUNCTION app.audit_change('target', 'subject', 'issued_before', 'expires_at', 'reason');

-- Whether the bound tenant is about to be suspended: what it does is to stop at once.
CREATE FUNCTION app.is_braked(tenant uuid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.organization_stops AS stop
        WHERE stop.organization_id = tenant AND stop.until > clock_timestamp())
$$;

-- How the bearer of a token stands: one row. A user who was deleted is told as such; one who is none of ours has no status.
CREATE FUNCTION app.load_standing(seal text, caller text, caller_id uuid, token text)
RETURNS TABLE (
    user_status text, user_role text, token_revoked boolean, revoked_until timestamptz, is_braked boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := app.bind(seal);
BEGIN
    RETURN QUERY
    SELECT CASE WHEN person.deleted_at IS NULL THEN person.status ELSE 'deleted' END, person.role,
        EXISTS (
            SELECT FROM public.revocations AS revoked
            WHERE revoked.organization_id = tenant AND revoked.target = 'token' AND revoked.subject = token),
        (
            SELECT max(revoked.issued_before) FROM public.revocations AS revoked
            WHERE revoked.organization_id = tenant
              AND (revoked.target, revoked.subject) IN (('user', caller), ('organization', ''))),
        app.is_braked(tenant)
    FROM (VALUES (tenant)) AS own (organization_id)
    LEFT JOIN public.users AS person
        ON person.organization_id = own.organization_id AND person.id = caller_id;
END $$;

-- What is known of an API key of the bound tenant; no row: there is none.
CREATE FUNCTION app.load_api_key(seal text, key uuid)
RETURNS TABLE (
    secret_hash bytea, previous_hash bytea, previous_until timestamptz, scopes text[], expires_at timestamptz,
    revoked_at timestamptz, last_used_at timestamptz, created_at timestamptz, is_braked boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := app.bind(seal);
BEGIN
    RETURN QUERY
    SELECT own.secret_hash, own.previous_hash, own.previous_until, own.scopes, own.expires_at, own.revoked_at,
        own.last_used_at, own.created_at, app.is_braked(tenant)
    FROM public.api_keys AS own WHERE own.organization_id = tenant AND own.id = key;
END $$;

-- Notes that a key was used, once a minute however many processes see it.
CREATE FUNCTION app.touch_api_key(seal text, key uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := app.bind(seal);
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE public.api_keys AS own SET last_used_at = now()
    WHERE own.organization_id = tenant AND own.id = key
      AND (own.last_used_at IS NULL OR own.last_used_at < now() - interval '1 minute');
END $$;

-- Which of the organizations of *seals* may not go on: suspended, inactive, deleted or gone, or about to be.
CREATE FUNCTION app.find_stopped(seals text[]) RETURNS SETOF uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own_seal text;
    tenant uuid;
BEGIN
    FOREACH own_seal IN ARRAY seals LOOP
        tenant := app.bind(own_seal);
        IF NOT EXISTS (
            SELECT FROM public.organizations AS own
            WHERE own.organization_id = tenant AND own.status = 'active' AND own.deleted_at IS NULL
        ) OR app.is_braked(tenant) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION app.load_standing, app.load_api_key, app.touch_api_key, app.find_stopped, app.is_braked
    FROM PUBLIC, genius_relay;
