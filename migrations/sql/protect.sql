-- The one place that writes policies and grants on tables.
--
-- The owner is under the policies too, and unbound in a migration: it sees no row. A later revision that changes
-- rows, or adds a foreign key to a table that has some, runs ALTER TABLE ... NO FORCE ROW LEVEL SECURITY on the
-- tables first, and app.protect on them at its end.

-- Confines a table and its partitions to the bound tenant. Run it again after adding a column.
-- The owner is confined too: its functions work for the tenant that their caller bound.
-- The expression stands in (SELECT ...): it is evaluated once a query, not once a row.
CREATE FUNCTION app.confine(target regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
    part regclass;
    own constant text := 'organization_id = (SELECT app.sealed_tenant())';
BEGIN
    FOR part IN SELECT target UNION SELECT relid FROM pg_partition_tree(target) LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', part);
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, genius_app, genius_relay', part);
        EXECUTE format('DROP POLICY IF EXISTS tenant ON %s', part);
        EXECUTE format('DROP POLICY IF EXISTS tenant_floor ON %s', part);
        EXECUTE format(
            'CREATE POLICY tenant ON %s TO genius_app, genius_owner USING (%s) WITH CHECK (%s)', part, own, own);
        -- A second permissive policy would widen access; this one holds whatever is added beside it.
        EXECUTE format(
            'CREATE POLICY tenant_floor ON %s AS RESTRICTIVE TO genius_app, genius_owner USING (%s) WITH CHECK (%s)',
            part, own, own);
    END LOOP;
END $$;

-- Confines a table and lets the application use it: *verbs* of select, insert, update, delete. An update may
-- touch any column but the organization, the id and the moment of creation. Partitions get no grants at all.
CREATE FUNCTION app.protect(
    target regclass, verbs text[] DEFAULT ARRAY['select', 'insert', 'update', 'delete']
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    verb text;
    writable text;
BEGIN
    PERFORM app.confine(target);
    FOREACH verb IN ARRAY verbs LOOP
        IF verb = 'update' THEN
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO writable
            FROM pg_attribute
            WHERE attrelid = target AND attnum > 0 AND NOT attisdropped
              AND attname NOT IN ('organization_id', 'id', 'created_at');
            IF writable IS NOT NULL THEN
                EXECUTE format('GRANT UPDATE (%s) ON %s TO genius_app', writable, target);
            END IF;
        ELSIF verb IN ('select', 'insert', 'delete') THEN
            EXECUTE format('GRANT %s ON %s TO genius_app', verb, target);
        ELSE
            RAISE EXCEPTION '% is no verb that may be granted', verb;
        END IF;
    END LOOP;
END $$;

-- Lets the relay see *readable* columns of every tenant's rows, change *writable* ones, fill *insertable* ones,
-- and remove rows if told. Name ids, states and moments; never a payload.
CREATE FUNCTION app.protect_relay(
    target regclass, readable text[], writable text[] DEFAULT '{}', insertable text[] DEFAULT '{}',
    removable boolean DEFAULT false
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
    verb text;
    columns text[];
BEGIN
    EXECUTE format('REVOKE ALL ON %s FROM genius_relay', target);
    EXECUTE format('DROP POLICY IF EXISTS relay ON %s', target);
    IF cardinality(writable || insertable) = 0 AND NOT removable THEN
        EXECUTE format('CREATE POLICY relay ON %s FOR SELECT TO genius_relay USING (true)', target);
    ELSE
        EXECUTE format('CREATE POLICY relay ON %s TO genius_relay USING (true) WITH CHECK (true)', target);
    END IF;
    FOR verb, columns IN
        SELECT * FROM (VALUES ('SELECT', readable), ('UPDATE', writable), ('INSERT', insertable)) AS wanted
        WHERE cardinality(column2) > 0
    LOOP
        EXECUTE format('GRANT %s (%s) ON %s TO genius_relay', verb,
            (SELECT string_agg(quote_ident(name), ', ') FROM unnest(columns) AS name), target);
    END LOOP;
    IF removable THEN
        EXECUTE format('GRANT DELETE ON %s TO genius_relay', target);
    END IF;
END $$;

REVOKE ALL ON FUNCTION app.confine, app.protect, app.protect_relay FROM PUBLIC, genius_app, genius_relay;
