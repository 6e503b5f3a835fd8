-- Finding and forgetting a person everywhere in the bound tenant's tables. Which tables and columns there are is asked of
-- the catalogue: a table that is added tomorrow is searched and swept without a line here.

CREATE FUNCTION app.tenant_tables() RETURNS SETOF regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT class.oid::regclass FROM pg_class AS class
    JOIN pg_attribute AS owner ON owner.attrelid = class.oid AND owner.attname = 'organization_id'
    WHERE class.relnamespace = 'public'::regnamespace AND class.relkind IN ('r', 'p') AND NOT class.relispartition
    ORDER BY class.relname
$$;

-- Returns an expression for all that a row of a table says, column by column; of bytes what is readable in them.
CREATE FUNCTION app.words_of(target regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('concat_ws(E''\n'', %s)', string_agg(
        format(CASE WHEN atttypid = 'bytea'::regtype THEN 'encode(%I, ''escape'')' ELSE '%I::text' END, attname), ', '))
    FROM pg_attribute
    WHERE attrelid = target AND attnum > 0 AND NOT attisdropped AND attname <> 'organization_id'
$$;

-- Returns in which tables something matches a pattern, and in how many rows.
CREATE FUNCTION app.find_person(pattern text) RETURNS TABLE (place text, found bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target regclass;
BEGIN
    FOR target IN SELECT app.tenant_tables() LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L, count(*) FROM %s WHERE organization_id = $1 AND %s ~* $2 HAVING count(*) > 0',
            target::text, target, app.words_of(target)) USING app.sealed_tenant(), pattern;
    END LOOP;
END $$;

-- Returns the rows of a table in which something matches a pattern; without one, all. Bytes are secrets, hashes and
-- sketches: they are left out.
CREATE FUNCTION app.rows_of(target regclass, pattern text) RETURNS SETOF jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bytes constant text[] := (
        SELECT coalesce(array_agg(attname::text), '{}') FROM pg_attribute
        WHERE attrelid = target AND attnum > 0 AND NOT attisdropped AND atttypid = 'bytea'::regtype);
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT to_jsonb(row) - $3 FROM %s AS row WHERE row.organization_id = $1 AND ($2 IS NULL OR %s ~* $2)',
        target, app.words_of(target)) USING app.sealed_tenant(), pattern, bytes;
END $$;

-- What follows changes rows that the application may not change, so it works for an erasure that runs, and for none else.
CREATE FUNCTION app.check_erasure(request uuid) RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.privacy_requests AS own
        WHERE own.organization_id = app.sealed_tenant() AND own.id = request AND own.kind = 'erasure'
          AND own.state = 'running'
    ) THEN
        RAISE EXCEPTION 'no such erasure runs' USING ERRCODE = '42501';
    END IF;
    RETURN app.sealed_tenant();
END $$;

-- Replaces in every text of a document; a number that matches becomes a text.
CREATE FUNCTION app.scrub_json(document jsonb, words text, ids text, pseudonym text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    plain constant text := document #>> '{}';
BEGIN
    RETURN CASE jsonb_typeof(document)
        WHEN 'object' THEN (
            SELECT coalesce(jsonb_object_agg(
                app.scrub_text(item.key, words, ids, pseudonym), app.scrub_json(item.value, words, ids, pseudonym)), '{}')
            FROM jsonb_each(document) AS item)
        WHEN 'array' THEN (
            SELECT coalesce(jsonb_agg(app.scrub_json(item, words, ids, pseudonym) ORDER BY place), '[]')
            FROM jsonb_array_elements(document) WITH ORDINALITY AS element(item, place))
        WHEN 'string' THEN to_jsonb(app.scrub_text(plain, words, ids, pseudonym))
        WHEN 'number' THEN CASE
            WHEN plain ~* words OR plain ~* ids THEN to_jsonb(app.scrub_text(plain, words, ids, pseudonym))
            ELSE document END
        ELSE document
    END;
END $$;

CREATE FUNCTION app.scrub_text(said text, words text, ids text, pseudonym text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT regexp_replace(regexp_replace(said, words, '[erased]', 'gi'), ids, pseudonym, 'gi')
$$;

-- Replaces in every text of a table what matches *words*, and what matches *ids* by the erasure's own id, so that a payload
-- stays one; references to who is gone become NULL. In a unique key each value becomes another one. Answers how many rows.
CREATE FUNCTION app.scrub_table(target regclass, words text, ids text, request uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant constant uuid := app.check_erasure(request);
    assignments text;
    touched bigint;
BEGIN
    IF target NOT IN (SELECT app.tenant_tables()) OR target::text ~ 'audit_' THEN
        RAISE EXCEPTION '% is not swept', target USING ERRCODE = '42501';
    END IF;
    SELECT string_agg(format('%1$I = ' || CASE
            WHEN own.type = 'uuid' AND own.mandatory THEN 'CASE WHEN %1$I::text ~* $3 THEN $4::uuid ELSE %1$I END'
            WHEN own.type = 'uuid' THEN 'CASE WHEN %1$I::text ~* $3 THEN NULL ELSE %1$I END'
            WHEN own.type = 'jsonb' THEN 'CASE WHEN %1$I::text ~* $2 OR %1$I::text ~* $3
                                          THEN app.scrub_json(%1$I, $2, $3, $4) ELSE %1$I END'
            WHEN own.type = 'text[]' THEN 'ARRAY(SELECT app.scrub_text(item, $2, $3, $4)
                                           FROM unnest(%1$I) WITH ORDINALITY AS part(item, place) ORDER BY place)'
            WHEN own.keyed THEN 'CASE WHEN %1$I ~* $2 OR %1$I ~* $3 THEN ''erased-'' || gen_random_uuid() ELSE %1$I END'
            ELSE 'app.scrub_text(%1$I, $2, $3, $4)' END, own.name), ', ')
    INTO assignments
    FROM (
        SELECT attname AS name, format_type(atttypid, NULL) AS type, attnotnull AS mandatory,
               EXISTS (SELECT FROM pg_index WHERE indrelid = target AND indisunique AND attnum = ANY (indkey)) AS keyed
        FROM pg_attribute
        WHERE attrelid = target AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
          AND attname NOT IN ('organization_id', 'id')
    ) AS own
    WHERE own.type IN ('text', 'jsonb', 'text[]') OR own.type = 'uuid' AND NOT own.keyed;
    IF assignments IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('UPDATE %1$s SET %2$s WHERE organization_id = $1 AND (%3$s ~* $2 OR %3$s ~* $3)',
        target, assignments, app.words_of(target)) USING tenant, words, ids, request::text;
    GET DIAGNOSTICS touched = ROW_COUNT;
    IF target = 'public.reports'::regclass AND touched > 0 THEN
        UPDATE public.reports SET sha256 = sha256(convert_to(document, 'UTF8')) WHERE organization_id = tenant;
    END IF;
    RETURN touched;
END $$;

-- Removes rows with whatever belongs to them; where something only mentions them, the mention goes.
CREATE FUNCTION app.forget_rows(target regclass, gone_ids uuid[], request uuid)
RETURNS TABLE (place text, gone bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant constant uuid := app.check_erasure(request);
    link record;
    children uuid[];
    removed bigint;
BEGIN
    IF coalesce(cardinality(gone_ids), 0) = 0 THEN
        RETURN;
    ELSIF target::text ~ '(audit_|organizations|privacy_requests)' THEN
        RAISE EXCEPTION '% is not swept', target USING ERRCODE = '42501';
    END IF;
    FOR link IN
        SELECT conrelid::regclass AS child, attname AS name, attnotnull AS mandatory,
               EXISTS (SELECT FROM pg_attribute WHERE attrelid = conrelid AND attname = 'id') AS has_id
        FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[2]
        WHERE contype = 'f' AND confrelid = target AND conparentid = 0
    LOOP
        IF NOT link.mandatory THEN
            BEGIN
                EXECUTE format('UPDATE %1$s SET %2$I = NULL WHERE organization_id = $1 AND %2$I = ANY ($2)',
                    link.child, link.name) USING tenant, gone_ids;
                CONTINUE;
            EXCEPTION WHEN check_violation THEN
                NULL; -- it is about nothing else: it goes too
            END;
        END IF;
        IF link.has_id THEN
            EXECUTE format('SELECT array_agg(id) FROM %s WHERE organization_id = $1 AND %I = ANY ($2)',
                link.child, link.name) INTO children USING tenant, gone_ids;
            RETURN QUERY SELECT * FROM app.forget_rows(link.child, children, request);
        ELSE
            EXECUTE format('DELETE FROM %s WHERE organization_id = $1 AND %I = ANY ($2)', link.child, link.name)
                USING tenant, gone_ids;
            GET DIAGNOSTICS removed = ROW_COUNT;
            RETURN QUERY SELECT link.child::text, removed WHERE removed > 0;
        END IF;
    END LOOP;
    EXECUTE format('DELETE FROM %s WHERE organization_id = $1 AND id = ANY ($2)', target) USING tenant, gone_ids;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN QUERY SELECT target::text, removed WHERE removed > 0;
END $$;

-- Forgets what stands beside the chain and matches, and whom its pseudonyms mean; says so in the chain. NULL is everything.
CREATE FUNCTION app.forget_audit(pattern text, request uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant constant uuid := app.check_erasure(request);
    names text[];
    places bigint[];
BEGIN
    -- Whoever is about to append holds the head: afterwards nobody writes about the person under the old pseudonym.
    PERFORM FROM public.audit_heads WHERE organization_id = tenant FOR UPDATE;
    WITH gone AS (
        DELETE FROM public.audit_names AS called
        WHERE called.organization_id = tenant AND (pattern IS NULL OR called.name ~* pattern)
        RETURNING called.id::text
    )
    SELECT array_agg(gone.id) INTO names FROM gone;
    WITH gone AS (
        DELETE FROM public.audit_details AS beside USING public.audit_log AS entry
        WHERE beside.organization_id = tenant AND entry.organization_id = tenant AND entry.id = beside.id
          AND (pattern IS NULL OR entry.subject = ANY (names) OR beside.detail::text ~* pattern
               OR beside.request_id ~* pattern)
        RETURNING entry.position
    )
    SELECT array_agg(gone.position ORDER BY gone.position) INTO places FROM gone;
    IF cardinality(places) > 0 OR cardinality(names) > 0 THEN
        PERFORM app.append_audits('database', 'privacy.erased', ARRAY[request::text],
            ARRAY[jsonb_build_object('forgotten', to_jsonb(coalesce(places, '{}')))], ARRAY['{}'::jsonb]);
    END IF;
    RETURN coalesce(cardinality(places), 0);
END $$;

-- Removes every row of a table of the bound tenant but those of the erasure's own job.
CREATE FUNCTION app.empty_table(target regclass, request uuid, own_job uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant constant uuid := app.check_erasure(request);
    own constant text := (
        SELECT attname FROM pg_attribute WHERE attrelid = target
          AND attname = CASE target WHEN 'public.jobs'::regclass THEN 'id' ELSE 'job_id' END);
    removed bigint;
BEGIN
    IF target NOT IN (SELECT app.tenant_tables()) OR target::text ~ '(audit_|organizations)' THEN
        RAISE EXCEPTION '% is not swept', target USING ERRCODE = '42501';
    END IF;
    EXECUTE format('DELETE FROM %s WHERE organization_id = $1', target)
        || CASE WHEN target = 'public.privacy_requests'::regclass THEN ' AND id <> $3'
                WHEN own IS NOT NULL THEN format(' AND %I IS DISTINCT FROM $2', own) ELSE '' END
        USING tenant, own_job, request;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$;

REVOKE ALL ON FUNCTION app.find_person, app.check_erasure, app.scrub_table, app.forget_rows, app.forget_audit,
    app.empty_table FROM PUBLIC, genius_relay;
REVOKE ALL ON FUNCTION app.tenant_tables, app.words_of, app.rows_of, app.scrub_json, app.scrub_text
    FROM PUBLIC, genius_relay;

SELECT app.protect('public.privacy_requests', ARRAY['select', 'insert', 'update']);
