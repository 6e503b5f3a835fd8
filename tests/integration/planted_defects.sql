-- Defects to plant, one a paragraph: the sentence that must be found, then the statements.
-- {plain} is a new table without protection, {protected} is one made the right way.

-- bad: row-level security is not forced
{plain};

-- bad: row-level security is not forced
{plain};
ALTER TABLE public.bad ENABLE ROW LEVEL SECURITY;

-- bad: row-level security is not forced
{protected};
ALTER TABLE public.bad NO FORCE ROW LEVEL SECURITY;

-- bad: policy tenant_floor is missing
{protected};
DROP POLICY tenant_floor ON public.bad;

-- bad: policy tenant is missing or is not
{protected};
ALTER POLICY tenant ON public.bad USING (true);

-- bad: policy tenant is missing or is not
{protected};
ALTER POLICY tenant ON public.bad WITH CHECK (true);

-- bad: policy tenant is missing or is not
{protected};
ALTER POLICY tenant ON public.bad TO PUBLIC;

-- bad: policy more beside
{protected};
CREATE POLICY more ON public.bad USING (true);

-- bad: policy relay beside
{protected};
CREATE POLICY relay ON public.bad USING (true);

-- bad: PUBLIC may SELECT
{protected};
GRANT SELECT ON public.bad TO PUBLIC;

-- bad: genius_app may TRUNCATE
{protected};
GRANT TRUNCATE ON public.bad TO genius_app;

-- bad: genius_app may REFERENCES
{protected};
GRANT REFERENCES ON public.bad TO genius_app;

-- bad: genius_app may UPDATE
{protected};
GRANT UPDATE ON public.bad TO genius_app;

-- may UPDATE organization_id
{protected};
GRANT UPDATE (organization_id) ON public.bad TO genius_app;

-- bad: genius_relay may SELECT
{protected};
GRANT SELECT ON public.bad TO genius_relay;

-- jobs: genius_relay may SELECT payload
SELECT app.protect_relay('public.jobs', ARRAY['payload']);

-- bad: organization_id is not a mandatory uuid
CREATE TABLE public.bad (id uuid PRIMARY KEY);

-- bad: organization_id is not a mandatory uuid
CREATE TABLE public.bad (organization_id text PRIMARY KEY);

-- bad: no primary key
CREATE TABLE public.bad (organization_id uuid NOT NULL);

-- bad: unique key bad_pkey does
CREATE TABLE public.bad (id uuid PRIMARY KEY, organization_id uuid NOT NULL);

-- users: unique key bad does not begin
CREATE UNIQUE INDEX bad ON public.users (email_norm);

-- users: unique key bad does not begin
CREATE UNIQUE INDEX bad ON public.users (lower(email));

-- users: index bad on an expression
CREATE INDEX bad ON public.users (organization_id, lower(email));

-- organizations: unique key bad does not
ALTER TABLE public.organizations ADD CONSTRAINT bad UNIQUE (name);

-- analytics_event_keys: unique key
ALTER TABLE public.analytics_event_keys ADD UNIQUE (key);

-- bad: foreign key bad_id_fkey does not carry
{plain};
CREATE UNIQUE INDEX one ON public.bad (id);
ALTER TABLE public.bad ADD FOREIGN KEY (id) REFERENCES public.bad (id);

-- bad: row-level security is not forced
CREATE TABLE public.bad PARTITION OF public.analytics_events FOR VALUES FROM ('2001-01-01') TO ('2001-02-01');

-- analytics_events_default: genius_app may
GRANT SELECT ON public.analytics_events_default TO genius_app;

-- alembic_version: genius_app may reach it
GRANT SELECT ON public.alembic_version TO genius_app;

-- app.seal_keys: genius_app may reach it
GRANT SELECT ON app.seal_keys TO genius_app;

-- bad: the view runs with its owner's rights
CREATE VIEW public.bad AS SELECT * FROM public.leads;

-- bad: a materialised view
CREATE MATERIALIZED VIEW public.bad AS SELECT 1;

-- bad: a sequence
CREATE SEQUENCE public.bad;

-- bad: a native enum
CREATE TYPE public.bad AS ENUM ('a');

-- app.bad(): its search_path is not pinned
CREATE FUNCTION app.bad() RETURNS int LANGUAGE sql AS 'SELECT 1';

-- rights for genius_app
CREATE FUNCTION app.bad() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';

-- app.load_tenant(text): runs with the owner's rights
ALTER FUNCTION app.load_tenant SECURITY DEFINER;

-- app.uuid7(): PUBLIC may execute it
GRANT EXECUTE ON FUNCTION app.uuid7 TO PUBLIC;

-- role genius_app: may make objects
GRANT CREATE ON SCHEMA public TO genius_app;

-- role genius_app: may make objects
RESET ROLE;
GRANT TEMPORARY ON DATABASE {database} TO genius_app;

-- role genius_app: is a member of pg_read_all_data
RESET ROLE;
GRANT pg_read_all_data TO genius_app;

-- role genius_app: may pass policies
RESET ROLE;
ALTER ROLE genius_app BYPASSRLS;

-- leads: belongs to genius_app
RESET ROLE;
ALTER TABLE public.leads OWNER TO genius_app;

-- role genius_owner: inherits genius_relay
RESET ROLE;
ALTER ROLE genius_owner INHERIT;
REVOKE genius_relay FROM genius_owner;
GRANT genius_relay TO genius_owner;
