-- The audit log: written by these functions only, each entry chained to the one before it.

CREATE FUNCTION app.audit_digest(entry public.audit_log) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- The moment as a number: its text would depend on the session's time zone.
    SELECT sha256(entry.previous_hash || convert_to(jsonb_build_array(
        entry.organization_id, entry.id, entry.position, extract(epoch FROM entry.occurred_at), entry.origin,
        entry.actor, entry.action, entry.subject, entry.detail)::text, 'UTF8'))
$$;

-- Appends to the bound tenant's chain. The lock on its head puts concurrent writers in order.
CREATE FUNCTION app.append_audit(origin text, action text, subject text, detail jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry public.audit_log;
BEGIN
    entry.organization_id := app.sealed_tenant();
    INSERT INTO public.audit_heads AS head (organization_id, position, hash)
    VALUES (entry.organization_id, 1, decode(repeat('00', 32), 'hex'))
    ON CONFLICT (organization_id) DO UPDATE SET position = head.position + 1
    RETURNING head.position, head.hash INTO entry.position, entry.previous_hash;

    entry.id := app.uuid7();
    entry.occurred_at := clock_timestamp();
    entry.origin := append_audit.origin;
    entry.actor := nullif(current_setting('app.actor', true), '');
    entry.action := append_audit.action;
    entry.subject := append_audit.subject;
    entry.detail := coalesce(append_audit.detail, '{}');
    entry.hash := app.audit_digest(entry);
    INSERT INTO public.audit_log SELECT entry.*;
    UPDATE public.audit_heads SET hash = entry.hash WHERE organization_id = entry.organization_id;
END $$;

-- Records what is not the change of a row; marked as coming from the application.
CREATE FUNCTION app.audit(action text, subject text DEFAULT NULL, detail jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT app.append_audit('application', action, subject, detail)
$$;

-- Records a change of a row: for each column named in the trigger, what it was and is.
CREATE FUNCTION app.audit_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was constant jsonb := CASE WHEN TG_OP = 'INSERT' THEN '{}' ELSE to_jsonb(OLD) END;
    becomes constant jsonb := CASE WHEN TG_OP = 'DELETE' THEN '{}' ELSE to_jsonb(NEW) END;
    subject constant jsonb := was || becomes;
    changes jsonb;
BEGIN
    SELECT coalesce(jsonb_object_agg(name, jsonb_build_array(was -> name, becomes -> name)), '{}') INTO changes
    FROM unnest(TG_ARGV) AS name
    WHERE was -> name IS DISTINCT FROM becomes -> name;
    IF TG_OP <> 'UPDATE' OR changes <> '{}' THEN
        PERFORM app.append_audit(
            'database', TG_TABLE_NAME || '.' || lower(TG_OP),
            coalesce(subject ->> 'id', subject ->> 'key', subject ->> 'organization_id'), changes);
    END IF;
    RETURN NULL;
END $$;

-- Returns the position of the first entry of the bound tenant that was altered, removed or put in; NULL if none.
CREATE FUNCTION app.first_broken_audit() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(link.place)
    FROM (
        SELECT row_number() OVER chain AS place,
               entry.position <> row_number() OVER chain
               OR entry.hash <> app.audit_digest(entry)
               OR entry.previous_hash <> lag(entry.hash, 1, decode(repeat('00', 32), 'hex')) OVER chain AS broken
        FROM public.audit_log AS entry
        WINDOW chain AS (ORDER BY entry.position)
        UNION ALL
        SELECT head.position, NOT EXISTS (
            SELECT FROM public.audit_log AS entry
            WHERE entry.position = head.position AND entry.hash = head.hash)
        FROM public.audit_heads AS head
    ) AS link
    WHERE link.broken
$$;

REVOKE ALL ON FUNCTION app.append_audit, app.audit, app.audit_change FROM PUBLIC, genius_app, genius_relay;
GRANT EXECUTE ON FUNCTION app.audit TO genius_app;

SELECT app.protect('public.audit_log', ARRAY['select']);
SELECT app.protect('public.audit_heads', ARRAY['select']);
