-- Defects to plant, one a paragraph: the rule that must find it, alone, and on what; then the statements.
-- {plain} is a new table without protection, {protected} is one made the right way.

-- forced-policies: bad
{protected};
ALTER TABLE public.bad DISABLE ROW LEVEL SECURITY;

-- forced-policies: bad
{protected};
ALTER TABLE public.bad NO FORCE ROW LEVEL SECURITY;

-- forced-policies tenant-policy floor-policy: bad
{plain};

-- forced-policies tenant-policy floor-policy: bad
CREATE TABLE public.bad PARTITION OF public.analytics_events FOR VALUES FROM ('2001-01-01') TO ('2001-02-01');

-- tenant-policy: bad
{protected};
DROP POLICY tenant ON public.bad;

-- tenant-policy: bad
{protected};
ALTER POLICY tenant ON public.bad USING (true);

-- tenant-policy: bad
{protected};
ALTER POLICY tenant ON public.bad USING (organization_id::text = (SELECT app.sealed_tenant())::text);

-- tenant-policy: bad
{protected};
ALTER POLICY tenant ON public.bad WITH CHECK (true);

-- tenant-policy: bad
{protected};
ALTER POLICY tenant ON public.bad TO PUBLIC;

-- floor-policy: bad
{protected};
DROP POLICY tenant_floor ON public.bad;

-- floor-policy: bad
{protected};
ALTER POLICY tenant_floor ON public.bad USING (organization_id = app.sealed_tenant());

-- stray-policy: bad
{protected};
CREATE POLICY more ON public.bad USING (true);

-- stray-policy: bad
{protected};
CREATE POLICY relay ON public.bad USING (true);

-- binding: app.sealed_tenant()
ALTER FUNCTION app.sealed_tenant() IMMUTABLE;

-- binding: app.verified_tenant()
ALTER FUNCTION app.verified_tenant() IMMUTABLE;

-- table-owner: leads
RESET ROLE;
ALTER TABLE public.leads OWNER TO genius_app;
REVOKE ALL ON public.leads FROM genius_owner;

-- tenant-column unique-key tenant-policy floor-policy forced-policies: bad
CREATE TABLE public.bad (id uuid PRIMARY KEY);

-- tenant-column: bad
{protected};
RESET ROLE;
UPDATE pg_attribute SET attnotnull = false WHERE attrelid = 'public.bad'::regclass AND attname = 'organization_id';

-- foreign-table: bad
RESET ROLE;
CREATE FOREIGN DATA WRAPPER bad;
CREATE SERVER bad FOREIGN DATA WRAPPER bad;
CREATE FOREIGN TABLE public.bad (organization_id uuid NOT NULL) SERVER bad;
ALTER FOREIGN TABLE public.bad OWNER TO genius_owner;

-- rewrite-rule: bad
{protected};
CREATE RULE more AS ON INSERT TO public.bad DO ALSO SELECT 1;

-- trigger: bad
{protected};
CREATE TRIGGER bad BEFORE UPDATE ON public.bad FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();

-- view-rights: bad
CREATE VIEW public.bad AS SELECT * FROM public.leads;

-- materialised-view: bad
CREATE MATERIALIZED VIEW public.bad AS SELECT 1;

-- sequence: bad
CREATE SEQUENCE public.bad;

-- primary-key: bad
{protected};
ALTER TABLE public.bad DROP CONSTRAINT bad_pkey;

-- unique-key: bad
{protected};
ALTER TABLE public.bad DROP CONSTRAINT bad_pkey, ADD PRIMARY KEY (id);

-- unique-key: users
CREATE UNIQUE INDEX bad ON public.users (email_norm);

-- unique-key index-expression: users
CREATE UNIQUE INDEX bad ON public.users (lower(email));

-- unique-key: organizations
ALTER TABLE public.organizations ADD CONSTRAINT bad UNIQUE (name);

-- unique-key: analytics_event_keys
ALTER TABLE public.analytics_event_keys ADD UNIQUE (key);

-- exclusion: bad
{protected};
ALTER TABLE public.bad ADD span int4range, ADD EXCLUDE USING gist (span WITH &&);

-- foreign-key: bad
{protected};
ALTER TABLE public.bad ADD other uuid, ADD UNIQUE (organization_id, other);
ALTER TABLE public.bad ADD FOREIGN KEY (other, organization_id) REFERENCES public.bad (organization_id, other) NOT VALID;

-- foreign-key-action: bad
{protected};
ALTER TABLE public.bad ADD other uuid,
    ADD FOREIGN KEY (organization_id, other) REFERENCES public.bad (organization_id, id) ON DELETE SET NULL NOT VALID;

-- index-expression: users
CREATE INDEX bad ON public.users (organization_id, lower(email));

-- index-operator: leads
CREATE INDEX bad ON public.leads USING gin (attributes);

-- index-operator: bad
{protected};
ALTER TABLE public.bad ADD amount numeric;
CREATE INDEX bad_amount ON public.bad (organization_id, amount);

-- native-enum: bad
CREATE TYPE public.bad AS ENUM ('a');

-- grant-stranger: bad
{protected};
GRANT SELECT ON public.bad TO PUBLIC;

-- grant-stranger: bad
{protected};
GRANT SELECT (name) ON public.bad TO pg_monitor;

-- grant-option: bad
{protected};
GRANT SELECT ON public.bad TO genius_app WITH GRANT OPTION;

-- grant-partition: analytics_events_default
GRANT SELECT ON public.analytics_events_default TO genius_app;

-- grant-verb: bad
{protected};
GRANT TRUNCATE ON public.bad TO genius_app;

-- grant-verb: bad
{protected};
GRANT REFERENCES ON public.bad TO genius_app;

-- grant-verb: bad
{protected};
GRANT TRIGGER ON public.bad TO genius_app;

-- grant-kind: live_leads
GRANT DELETE ON public.live_leads TO genius_app;

-- grant-key: bad
{protected};
GRANT UPDATE ON public.bad TO genius_app;

-- grant-key: bad
{protected};
GRANT UPDATE (organization_id) ON public.bad TO genius_app;

-- grant-relay: bad
{protected};
GRANT SELECT ON public.bad TO genius_relay;

-- grant-relay: jobs
SELECT app.protect_relay('public.jobs', ARRAY['payload']);

-- grant-bookkeeping: alembic_version
GRANT SELECT ON public.alembic_version TO genius_app;

-- grant-outside: app.seal_keys
GRANT SELECT ON app.seal_keys TO genius_app;

-- grant-schema: bad
RESET ROLE;
CREATE SCHEMA bad;
GRANT USAGE ON SCHEMA bad TO genius_relay;

-- grant-default: TABLES
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO genius_app;

-- grant-default: FUNCTIONS
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT EXECUTE ON FUNCTIONS TO PUBLIC;

-- grant-catalogue: pg_statistic
RESET ROLE;
GRANT SELECT ON pg_catalog.pg_statistic TO genius_app;

-- grant-catalogue: pg_stat_activity
RESET ROLE;
GRANT SELECT ON pg_catalog.pg_stat_activity TO PUBLIC;

-- function-public: app.uuid7()
GRANT EXECUTE ON FUNCTION app.uuid7 TO PUBLIC;

-- function-path: app.bad()
CREATE FUNCTION app.bad() RETURNS int LANGUAGE sql AS 'SELECT 1';

-- function-definer: app.bad()
CREATE FUNCTION app.bad() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT 1';

-- function-definer: app.load_tenant(text)
ALTER FUNCTION app.load_tenant SECURITY DEFINER;

-- function-owner: app.uuid7()
RESET ROLE;
ALTER FUNCTION app.uuid7() OWNER TO genius_relay;

-- function-of-all: pg_terminate_backend(integer,bigint)
RESET ROLE;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_terminate_backend TO PUBLIC;

-- function-of-all: lo_create(oid)
RESET ROLE;
GRANT EXECUTE ON FUNCTION pg_catalog.lo_create TO genius_app;

-- function-of-all: pg_read_file(text)
RESET ROLE;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO genius_app;

-- notify: app.bad()
CREATE FUNCTION app.bad() RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS 'SELECT pg_notify(''x'', ''y'')';

-- large-object: 4242
RESET ROLE;
SELECT lo_create(4242);

-- language: plpgsql
RESET ROLE;
GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;

-- extension: bad
RESET ROLE;
UPDATE pg_extension SET extname = 'bad' WHERE extname = 'plpgsql';

-- role-makes: genius_app
GRANT CREATE ON SCHEMA public TO genius_app;

-- role-makes: genius_app
RESET ROLE;
GRANT TEMPORARY ON DATABASE {database} TO genius_app;

-- role-member: genius_app
RESET ROLE;
GRANT pg_checkpoint TO genius_app;

-- role-privilege: genius_app
RESET ROLE;
ALTER ROLE genius_app BYPASSRLS;

-- role-inherits: genius_owner
RESET ROLE;
ALTER ROLE genius_owner INHERIT;
REVOKE genius_relay FROM genius_owner;
GRANT genius_relay TO genius_owner;

-- role-setting: genius_app
RESET ROLE;
ALTER ROLE genius_app SET app.tenant_seal = 'x';

-- role-setting: ALL
RESET ROLE;
ALTER DATABASE {database} SET search_path = public;

-- role-parameter: backtrace_functions
RESET ROLE;
GRANT SET ON PARAMETER backtrace_functions TO genius_app;

-- role-parameter: session_replication_role
RESET ROLE;
GRANT SET ON PARAMETER session_replication_role TO PUBLIC;

-- server-setting: session_replication_role
RESET ROLE;
SET LOCAL session_replication_role = replica;

-- server-setting: backtrace_functions
RESET ROLE;
SET LOCAL backtrace_functions = 'abc';
