-- What is broken in each copy. A superuser runs this in a database that tests may spoil; roles are left alone, since
-- all databases share them.

-- break: no policies
DO $$ DECLARE target regclass; BEGIN
    FOR target IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', target);
    END LOOP;
END $$;

-- break: plain setting
-- The session says for whom it works, and is believed.
CREATE OR REPLACE FUNCTION app.sealed_tenant() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT split_part(current_setting('app.tenant_seal'), '.', 1)::uuid $$;
GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;

-- break: immutable binding
CREATE OR REPLACE FUNCTION app.sealed_tenant() RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN split_part(current_setting('app.tenant_seal'), '.', 1)::uuid; END $$;

-- break: seals never expire
DO $$ BEGIN
    EXECUTE replace(pg_get_functiondef('app.verified_tenant()'::regprocedure), 'extract(epoch FROM now())', '0');
END $$;

-- break: loose search path
-- The function that verifies looks for what it calls wherever its caller says, and the caller may put something there.
ALTER FUNCTION app.verified_tenant() RESET search_path;
GRANT CREATE ON SCHEMA public TO genius_app;
GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;

-- break: readable key
GRANT SELECT ON app.seal_keys TO genius_app;

-- break: generous grants
DO $$ DECLARE target regclass; BEGIN
    FOR target IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', target);
    END LOOP;
END $$;
GRANT ALL ON ALL TABLES IN SCHEMA public TO genius_app, genius_relay;
GRANT CREATE ON SCHEMA public TO genius_app;

-- break: relay reads all
GRANT ALL ON ALL TABLES IN SCHEMA public TO genius_relay;
DO $$ DECLARE target regclass; BEGIN
    FOR target IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
        EXECUTE format('DROP POLICY IF EXISTS relay ON %s', target);
        EXECUTE format('CREATE POLICY relay ON %s TO genius_relay USING (true) WITH CHECK (true)', target);
    END LOOP;
END $$;
ALTER TABLE public.job_events DISABLE ROW LEVEL SECURITY;

-- break: keys that span tenants
CREATE UNIQUE INDEX ON public.users (email_norm);
ALTER TABLE public.idempotency_keys DISABLE TRIGGER ALL;
UPDATE public.idempotency_keys SET key = organization_id::text;
CREATE UNIQUE INDEX ON public.idempotency_keys (key);
CREATE UNIQUE INDEX one ON public.campaigns (id);
ALTER TABLE public.content_assets DROP CONSTRAINT fk_content_assets_organization_id_campaign_id;
ALTER TABLE public.content_assets ADD FOREIGN KEY (campaign_id) REFERENCES public.campaigns (id);

-- break: partitions granted
DO $$ DECLARE target regclass; BEGIN
    FOR target IN SELECT relid FROM pg_partition_tree('public.analytics_events') WHERE isleaf LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', target);
        EXECUTE format('GRANT SELECT ON %s TO genius_app', target);
    END LOOP;
END $$;

-- break: views of their owner
ALTER VIEW public.live_leads SET (security_invoker = false);
ALTER VIEW public.live_leads OWNER TO CURRENT_USER;
CREATE MATERIALIZED VIEW public.summary AS SELECT organization_id, company FROM public.leads;
GRANT SELECT ON public.summary TO genius_app;

-- break: functions of their owner
DO $$ DECLARE function regprocedure; BEGIN
    FOR function IN SELECT oid FROM pg_proc WHERE pronamespace = 'app'::regnamespace AND prokind = 'f'
                      AND prorettype <> 'trigger'::regtype AND prosqlbody IS NULL LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', function);
        EXECUTE format('ALTER FUNCTION %s OWNER TO CURRENT_USER', function);
    END LOOP;
END $$;

-- break: not hardened
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_catalog TO PUBLIC;
GRANT SELECT ON pg_catalog.pg_stat_activity TO PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO genius_app', current_database()); END $$;

-- break: leakproof peeking
-- A function that tells what it is given, and is trusted not to: it runs before the policy.
CREATE FUNCTION public.peek(value text) RETURNS boolean LANGUAGE plpgsql LEAKPROOF COST 0.0001 AS
    $$ BEGIN RAISE NOTICE '%', value; RETURN true; END $$;
GRANT EXECUTE ON FUNCTION public.peek TO PUBLIC;

-- break: everybody is told
CREATE FUNCTION app.tell() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('leads', to_jsonb(NEW)::text); RETURN NEW; END $$;
CREATE TRIGGER tell AFTER UPDATE ON public.leads FOR EACH ROW EXECUTE FUNCTION app.tell();

-- break: statistics open
GRANT SELECT ON pg_catalog.pg_statistic TO PUBLIC;

-- break: a memory that all may write
CREATE OR REPLACE FUNCTION app.sealed_tenant() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT coalesce(nullif(current_setting('app.kept', true), '')::uuid, app.verified_tenant()) $$;
