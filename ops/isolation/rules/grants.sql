-- Who may do what, by column.

-- rule: grant-stranger
-- fix: REVOKE ALL ON <object> FROM whoever is not a role of ours.
SELECT relname AS object, found FROM excessive WHERE reason = 'stranger';

-- rule: grant-option
-- fix: REVOKE GRANT OPTION FOR ALL ON <object> FROM the role.
SELECT relname, found || ' and pass that on' FROM excessive WHERE reason = 'passed on';

-- rule: grant-partition
-- fix: REVOKE ALL ON <object> FROM the role; the application goes through the parent table.
SELECT relname, found FROM excessive WHERE reason = 'partition';

-- rule: grant-verb
-- fix: REVOKE it ON <object>: TRUNCATE, REFERENCES, TRIGGER and MAINTAIN pass policies by.
SELECT relname, found FROM excessive WHERE reason = 'verb';

-- rule: grant-kind
-- fix: REVOKE it ON <object>: of views only SELECT, of anything but tables and views nothing.
SELECT relname, found FROM excessive WHERE reason = 'kind';

-- rule: grant-key
-- fix: SELECT app.protect('<object>'), which grants UPDATE by column.
SELECT relname, found FROM excessive WHERE reason = 'key';

-- rule: grant-relay
-- fix: SELECT app.protect_relay('<object>', ...): ids, states and moments only.
SELECT relname, found FROM excessive WHERE reason = 'relay';

-- rule: grant-bookkeeping
-- fix: REVOKE ALL ON <object> FROM genius_app, genius_relay;
SELECT 'alembic_version', format('%s may reach it', service.rolname)
FROM service WHERE has_table_privilege(service.oid, 'public.alembic_version', 'SELECT, INSERT, UPDATE, DELETE');

-- rule: grant-outside
-- fix: REVOKE ALL ON <object> FROM genius_app, genius_relay;
SELECT class.oid::regclass::text, format('%s may reach it, outside the tables of tenants', service.rolname)
FROM service CROSS JOIN pg_class AS class
WHERE class.relnamespace = 'app'::regnamespace AND class.relkind IN ('r', 'p', 'v', 'm', 'S')
  AND NOT (service.rolname = 'genius_relay' AND class.relname IN ('relay_state', 'beats', 'relay_counts'))
  AND CASE class.relkind WHEN 'S' THEN has_sequence_privilege(service.oid, class.oid, 'USAGE, SELECT, UPDATE')
      ELSE has_table_privilege(service.oid, class.oid, 'SELECT, INSERT, UPDATE, DELETE') END;

-- rule: grant-schema
-- fix: REVOKE ALL ON SCHEMA <object> FROM PUBLIC, genius_app, genius_relay;
SELECT nspname::text, format('%s may look into it, and nothing there has policies', service.rolname)
FROM service CROSS JOIN pg_namespace
WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'app', 'information_schema')
  AND has_schema_privilege(service.oid, pg_namespace.oid, 'USAGE, CREATE');

-- rule: grant-default
-- fix: ALTER DEFAULT PRIVILEGES ... REVOKE ALL ON <object> FROM the role.
SELECT CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
           WHEN 'n' THEN 'SCHEMAS' WHEN 'T' THEN 'TYPES' ELSE 'LARGE OBJECTS' END,
       format('what %s makes from now on is open to %s', defaclrole::regrole,
           CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END)
FROM pg_default_acl CROSS JOIN aclexplode(defaclacl) AS acl
WHERE acl.grantee <> defaclrole AND (
    defaclobjtype NOT IN ('f', 'T')
    OR defaclobjtype = 'f' AND acl.grantee NOT IN (SELECT oid FROM service));

-- rule: grant-catalogue
-- fix: REVOKE ALL ON <object> FROM PUBLIC, genius_app, genius_relay;
SELECT class.oid::regclass::text, format('%s may read it: it holds values or secrets of all', service.rolname)
FROM service CROSS JOIN unnest(ARRAY[
    'pg_catalog.pg_statistic', 'pg_catalog.pg_statistic_ext_data', 'pg_catalog.pg_authid', 'pg_catalog.pg_largeobject',
    'pg_catalog.pg_user_mapping', 'pg_catalog.pg_stat_activity', 'pg_catalog.pg_subscription']::regclass[]) AS class(oid)
WHERE has_table_privilege(service.oid, class.oid, 'SELECT');
