-- The audit log of everything that people change. What may name a person stands beside the chain, which holds a salted
-- digest of it only: it can be forgotten, and the chain still holds.

-- A number of 256 bits that nobody can guess; gen_random_uuid() draws 122 of them from the system's own source.
CREATE FUNCTION app.salt() RETURNS bytea LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
$$;

CREATE OR REPLACE FUNCTION app.audit_digest(entry public.audit_log) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- The moment as a number: its text would depend on the session's time zone.
    SELECT sha256(entry.previous_hash || convert_to((jsonb_build_array(
        entry.organization_id, entry.id, entry.position, extract(epoch FROM entry.occurred_at), entry.origin,
        entry.actor, entry.action, entry.subject, entry.detail)
        || CASE WHEN entry.digest IS NULL THEN '[]' ELSE jsonb_build_array(encode(entry.digest, 'hex')) END
    )::text, 'UTF8'))
$$;

-- What the chain holds of that which stands beside it.
CREATE FUNCTION app.digest_beside(beside public.audit_details) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(beside.salt || convert_to(jsonb_build_array(beside.request_id, beside.detail)::text, 'UTF8'))
$$;

-- Returns what the chain calls somebody: a number drawn once, whose meaning can be forgotten. Jobs and operators'
-- commands are no people.
CREATE FUNCTION app.audit_name(called text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    pseudonym uuid;
BEGIN
    IF called IS NULL OR called ~ '^(job|operator|system):[[:alnum:]_.-]+$' THEN
        RETURN called;
    END IF;
    INSERT INTO public.audit_names (organization_id, id, name) VALUES (app.sealed_tenant(), gen_random_uuid(), called)
    ON CONFLICT (organization_id, name) DO NOTHING;
    SELECT id INTO pseudonym FROM public.audit_names
    WHERE organization_id = app.sealed_tenant() AND name = called;
    RETURN pseudonym;
END $$;

-- What a transaction did, until it commits. Chaining takes a lock on the end of the organization's chain: taken with the
-- first change it would hold up every other writer until the slowest transaction ends, and two could wait for each other.
-- A row is gone with the transaction that wrote it, so that nobody else ever sees one and none needs to survive a crash.
CREATE UNLOGGED TABLE app.audit_queue (
    id uuid PRIMARY KEY DEFAULT app.uuid7(),
    organization_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    origin text NOT NULL,
    action text NOT NULL,
    actor text DEFAULT nullif(current_setting('app.actor', true), ''),
    request_id text DEFAULT nullif(current_setting('app.request_id', true), ''),
    subjects text[] NOT NULL,
    plain jsonb[] NOT NULL,
    beside jsonb[] NOT NULL
);

-- Has entries appended to the bound tenant's chain when the transaction commits; arrays run in parallel. Until then it
-- shares a lock with other writers that only app.forget_audit waits for: it forgets what they are about to write, too.
CREATE FUNCTION app.append_audits(origin text, action text, subjects text[], plain jsonb[], beside jsonb[])
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT FROM public.audit_heads WHERE organization_id = app.sealed_tenant() FOR KEY SHARE;
    INSERT INTO app.audit_queue (organization_id, origin, action, subjects, plain, beside)
    SELECT app.sealed_tenant(), origin, action, subjects, plain, beside WHERE cardinality(subjects) > 0
$$;

-- Appends what one statement did, at the end of its transaction. The lock on the head puts concurrent writers in order,
-- and the head is written once: an import of thousands of leads is one statement.
CREATE FUNCTION app.chain_audits() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry public.audit_log;
    apart public.audit_details;
    item record;
BEGIN
    DELETE FROM app.audit_queue WHERE id = NEW.id;
    entry.organization_id := NEW.organization_id;
    entry.occurred_at := NEW.occurred_at;
    entry.origin := NEW.origin;
    entry.action := NEW.action;
    entry.actor := app.audit_name(NEW.actor);
    apart.organization_id := NEW.organization_id;
    apart.request_id := NEW.request_id;

    INSERT INTO public.audit_heads AS head (organization_id, position, hash)
    VALUES (entry.organization_id, 0, decode(repeat('00', 32), 'hex'))
    ON CONFLICT (organization_id) DO UPDATE SET position = head.position
    RETURNING head.position, head.hash INTO entry.position, entry.hash;
    -- Not by subscripts: each would read the array from its beginning.
    FOR item IN SELECT * FROM unnest(NEW.subjects, NEW.plain, NEW.beside) AS item(subject, plain, beside) LOOP
        entry.id := app.uuid7();
        entry.position := entry.position + 1;
        entry.subject := item.subject;
        entry.detail := coalesce(item.plain, '{}');
        apart.id := entry.id;
        apart.salt := app.salt();
        apart.detail := coalesce(item.beside, '{}');
        entry.digest := app.digest_beside(apart);
        entry.previous_hash := entry.hash;
        entry.hash := app.audit_digest(entry);
        INSERT INTO public.audit_log SELECT entry.*;
        INSERT INTO public.audit_details SELECT apart.*;
    END LOOP;
    UPDATE public.audit_heads SET position = entry.position, hash = entry.hash
    WHERE organization_id = entry.organization_id;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER chain AFTER INSERT ON app.audit_queue DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION app.chain_audits();

CREATE OR REPLACE FUNCTION app.append_audit(origin text, action text, subject text, detail jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT app.append_audits(origin, action, ARRAY[subject], ARRAY['{}'::jsonb], ARRAY[detail])
$$;

-- What an object was and is, attribute by attribute: those that may stand in the chain, and the others.
CREATE FUNCTION app.audit_difference(was jsonb, becomes jsonb, plain text[], beside text[],
    OUT in_chain jsonb, OUT apart jsonb
) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(name, jsonb_build_array(was -> name, becomes -> name))
               FILTER (WHERE name = ANY (plain)), '{}'),
           coalesce(jsonb_object_agg(name, jsonb_build_array(was -> name, becomes -> name))
               FILTER (WHERE name = ANY (beside)), '{}')
    FROM unnest(plain || beside) AS name
    WHERE nullif(was -> name, 'null') IS DISTINCT FROM nullif(becomes -> name, 'null')
$$;

-- Records what one statement did to the rows of a table. Arguments: the key besides the organization; columns that may
-- stand in the chain; the other audited ones; whether the rows are people.
CREATE FUNCTION app.audit_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    key constant text := TG_ARGV[0];
    plain constant text[] := string_to_array(TG_ARGV[1], ',');
    beside constant text[] := string_to_array(TG_ARGV[2], ',');
    subject text := format('coalesce(becomes.%1$I, was.%1$I)::text', key);
    source text;
    subjects text[];
    in_chain jsonb[];
    apart jsonb[];
BEGIN
    IF TG_ARGV[3]::boolean THEN
        subject := format('app.audit_name(%s)', subject);
    END IF;
    source := CASE TG_OP
        WHEN 'INSERT' THEN 'new_rows AS becomes LEFT JOIN new_rows AS was ON false'
        WHEN 'DELETE' THEN 'old_rows AS was LEFT JOIN old_rows AS becomes ON false'
        ELSE format(
            'old_rows AS was JOIN new_rows AS becomes ON was.organization_id = becomes.organization_id
             AND was.%1$I = becomes.%1$I AND ROW(%2$s) IS DISTINCT FROM ROW(%3$s)', key,
            (SELECT string_agg(format('was.%I', name), ', ') FROM unnest(plain || beside) AS name),
            (SELECT string_agg(format('becomes.%I', name), ', ') FROM unnest(plain || beside) AS name))
    END;
    EXECUTE format(
        'SELECT array_agg(%s), array_agg(difference.in_chain), array_agg(difference.apart)
         FROM %s CROSS JOIN LATERAL app.audit_difference(
             coalesce(to_jsonb(was), ''{}''), coalesce(to_jsonb(becomes), ''{}''), $1, $2) AS difference',
        subject, source)
    INTO subjects, in_chain, apart USING plain, beside;
    PERFORM app.append_audits('database', TG_TABLE_NAME || '.' || lower(TG_OP), subjects, in_chain, apart);
    RETURN NULL;
END $$;

-- Audits every change of a table by the application; the owner's functions write entries of their own. Run it again
-- after adding a column. *plain* columns can name no person; *ignored* ones tell nothing that a person did; secrets are
-- bytes, which are never recorded.
CREATE FUNCTION app.audited(target regclass, plain text[], ignored text[] DEFAULT '{}', people boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
    key constant text := (
        SELECT coalesce(min(attname) FILTER (WHERE attname <> 'organization_id'), 'organization_id')
        FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
        WHERE indrelid = target AND indisprimary);
    beside constant text[] := (
        SELECT coalesce(array_agg(attname::text ORDER BY attnum), '{}') FROM pg_attribute
        WHERE attrelid = target AND attnum > 0 AND NOT attisdropped AND atttypid <> 'bytea'::regtype
          AND attname <> ALL (plain || ignored || ARRAY['organization_id', 'id', 'created_at', 'updated_at']));
    verb text;
BEGIN
    FOREACH verb IN ARRAY ARRAY['insert', 'update', 'delete'] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS audited_%s ON %s', verb, target);
        EXECUTE format(
            'CREATE TRIGGER audited_%s AFTER %s ON %s REFERENCING %s FOR EACH STATEMENT
             WHEN (current_user = ''genius_app'') EXECUTE FUNCTION app.audit_rows(%L, %L, %L, %L)',
            verb, upper(verb), target,
            CASE verb WHEN 'insert' THEN 'NEW TABLE AS new_rows' WHEN 'delete' THEN 'OLD TABLE AS old_rows'
                      ELSE 'OLD TABLE AS old_rows NEW TABLE AS new_rows' END,
            key, array_to_string(plain, ','), array_to_string(beside, ','), people);
    END LOOP;
END $$;

-- Returns the position of the first entry of the bound tenant that was altered, removed or put in, or of which what
-- stood beside it is altered, or gone without an erasure that says so; NULL if none.
CREATE OR REPLACE FUNCTION app.first_broken_audit() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH forgotten AS MATERIALIZED (
        SELECT DISTINCT place::bigint AS position
        FROM public.audit_log AS entry CROSS JOIN LATERAL jsonb_array_elements_text(entry.detail -> 'forgotten') AS place
        WHERE entry.origin = 'database' AND entry.action = 'privacy.erased'
    )
    SELECT min(link.place)
    FROM (
        SELECT row_number() OVER chain AS place,
               entry.position <> row_number() OVER chain
               OR entry.hash <> app.audit_digest(entry)
               OR entry.previous_hash <> lag(entry.hash, 1, decode(repeat('00', 32), 'hex')) OVER chain
               OR CASE WHEN beside.id IS NOT NULL
                       THEN entry.digest IS DISTINCT FROM app.digest_beside(beside)
                       ELSE entry.digest IS NOT NULL AND forgotten.position IS NULL END AS broken
        FROM public.audit_log AS entry
        LEFT JOIN public.audit_details AS beside
            ON beside.organization_id = entry.organization_id AND beside.id = entry.id
        LEFT JOIN forgotten ON forgotten.position = entry.position
        WINDOW chain AS (ORDER BY entry.position)
        UNION ALL
        SELECT head.position, NOT EXISTS (
            SELECT FROM public.audit_log AS entry
            WHERE entry.position = head.position AND entry.hash = head.hash)
        FROM public.audit_heads AS head
    ) AS link
    WHERE link.broken
$$;

REVOKE ALL ON FUNCTION app.salt, app.digest_beside, app.audit_name, app.append_audits, app.chain_audits,
    app.audit_difference, app.audit_rows, app.audited FROM PUBLIC, genius_app, genius_relay;
GRANT EXECUTE ON FUNCTION app.digest_beside TO genius_app;

SELECT app.protect('public.audit_log', ARRAY['select']);
SELECT app.protect('public.audit_names', ARRAY['select']);
SELECT app.protect('public.audit_details', ARRAY['select']);

-- The triggers of before said less; a way down turns them on again.
DO $$
DECLARE
    former record;
BEGIN
    FOR former IN SELECT tgrelid::regclass AS target FROM pg_trigger WHERE tgname = 'audited' LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER audited', former.target);
    END LOOP;
END $$;
